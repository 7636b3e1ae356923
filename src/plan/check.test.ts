// Every invariant is shown to catch a plan that breaks it.
import { describe, expect, test } from "bun:test";
import {
  applied,
  created,
  emptyDatabase,
  host,
  planned,
  shopSpec,
} from "../../test/support/planning.ts";
import { checkPlan } from "./check.ts";
import { nothingObserved } from "./observed.ts";
import { makeDeletePlan } from "./plan.ts";
import type { Plan, Step } from "./resource.ts";

const hosts = [host("host-1"), host("host-2")];
const empty = emptyDatabase(hosts);
const creation = planned(empty, shopSpec);
const shop = applied(empty, creation);
const deletion = makeDeletePlan({
  databaseId: "shop",
  parentGeneration: 1,
  stored: shop.stored,
  observed: nothingObserved,
});
const twoNodes = {
  ...shopSpec,
  nodes: [...shopSpec.nodes, { name: "n2", host_ids: ["host-2"] }],
};
const two = created(twoNodes, hosts);
const rolling = planned(two, { ...twoNodes, postgresql_conf: { max_connections: 300 } });

/** The plan with the step of the given kind changed. */
function altered(plan: Plan, kind: string, change: (step: Step) => Step): Plan {
  const steps = plan.steps.map((step) => (step.resource.kind === kind ? change(step) : step));
  expect(steps).not.toEqual([...plan.steps]);
  return { ...plan, steps };
}

function codes(plan: Plan, stored = shop.stored): readonly string[] {
  return [...new Set(checkPlan(plan, stored).map(({ code }) => code))];
}

describe("checkPlan", () => {
  test("finds nothing in sound plans", () => {
    expect(checkPlan(creation, [])).toEqual([]);
    expect(checkPlan(deletion, shop.stored)).toEqual([]);
    expect(checkPlan(rolling, two.stored)).toEqual([]);
    expect(rolling.restarts).toHaveLength(2);
  });

  test("1: a generation that does not follow its parent", () => {
    expect(codes({ ...creation, generation: 3 }, [])).toEqual(["generation"]);
  });

  test("2: ids that repeat or do not sort", () => {
    const plan = { ...creation, steps: creation.steps.toReversed() };
    expect(codes(plan, [])).toContain("step_id");
  });

  test("3: an action of another kind of plan, and a step without time limit", () => {
    expect(codes({ ...deletion, kind: "restart_instance" })).toEqual(["action"]);
    const endless = altered(creation, "database.roles", (step) => ({ ...step, timeoutMs: 0 }));
    expect(codes(endless, [])).toEqual(["timeout"]);
  });

  test("4: two steps for one resource", () => {
    const [first] = creation.steps;
    if (first === undefined) throw new Error("no step");
    const again = { ...first, id: "99-again", after: creation.steps.map(({ id }) => id) };
    expect(codes({ ...creation, steps: [...creation.steps, again] }, [])).toContain("twice");
  });

  test("5: a need that nothing makes, that failed, or that is not waited for", () => {
    expect(codes({ ...creation, steps: creation.steps.slice(1) }, [])).toContain("dependency");
    const change = planned(shop, { ...shopSpec, pg_hba_conf: ["local all all reject"] });
    const broken = shop.stored.map((resource) =>
      resource.kind === "instance.keeper" ? { ...resource, state: "failed" as const } : resource,
    );
    expect(codes(change, broken)).toEqual(["dependency"]);
    const hasty = altered(creation, "database.roles", (step) => ({ ...step, after: [] }));
    expect(codes(hasty, [])).toEqual(["dependency"]);
  });

  test("6: a removal before what depends on it, or of what is kept", () => {
    const hasty = altered(deletion, "filesystem.dir", (step) => ({ ...step, after: [] }));
    expect(codes(hasty)).toEqual(["too_early"]);
    const partly = deletion.steps.filter(({ resource }) => resource.kind === "filesystem.dir");
    const steps = partly.map((step) => ({ ...step, after: [] }));
    expect(codes({ ...deletion, steps })).toEqual(["still_needed"]);
  });

  test("7: a restart where there is no PostgreSQL, one that is not listed, a gap without cause", () => {
    const wrong = altered(creation, "database.roles", (step) => ({ ...step, restarts: true }));
    expect(codes(wrong, [])).toEqual(["restart", "restarts"]);
    expect(codes({ ...rolling, restarts: [] }, two.stored)).toEqual(["restarts"]);
    expect(codes({ ...creation, writeGapMs: { n1: 5 } }, [])).toEqual(["write_gap"]);
  });

  test("8: an instance on two hosts", () => {
    const moved = altered(creation, "database.instance", (step) => ({
      ...step,
      resource: { ...step.resource, hostId: "host-2" },
    }));
    expect(codes(moved, [])).toEqual(["host"]);
  });

  test("9: a node that would lose its data", () => {
    const elsewhere = { ...shopSpec, nodes: [{ name: "n1", host_ids: ["host-2"] }] };
    const fresh = planned(empty, elsewhere);
    const steps = [...fresh.steps];
    const ends = steps.map(({ id }) => id);
    const removal = deletion.steps.map((step) => ({
      ...step,
      id: `9${step.id}`,
      after: [...ends, ...step.after.map((id) => `9${id}`)],
    }));
    const onlyInstances = removal.filter(({ resource }) => resource.kind === "database.instance");
    const plan = { ...fresh, steps: [...steps, ...onlyInstances] };
    expect(codes(plan)).toContain("data_loss");
  });

  test("10: a major version changed in place", () => {
    const changes = [{ path: "/postgres_major", before: 15, after: 17 }];
    const plan = altered(creation, "database.instance", (step) => ({ ...step, changes }));
    expect(codes(plan, [])).toEqual(["major_version"]);
  });

  test("11: steps that wait for later ones or for nothing that exists", () => {
    const plan = altered(creation, "filesystem.dir", (step) => ({
      ...step,
      after: ["77-nothing"],
    }));
    expect(codes(plan, [])).toEqual(["order"]);
  });

  test("12: a removal that does not wait for the rest", () => {
    const one = { ...twoNodes, nodes: shopSpec.nodes, pg_hba_conf: ["local all all reject"] };
    const plan = planned(two, one);
    expect(checkPlan(plan, two.stored)).toEqual([]);
    const hasty = altered(plan, "monitor.instance", (step) => ({ ...step, after: [] }));
    expect(codes(hasty, two.stored)).toEqual(["order"]);
  });

  test("13: two restarts at a time", () => {
    const plan = altered(rolling, "database.instance", (step) => ({ ...step, after: [] }));
    expect(codes(plan, two.stored)).toEqual(["rolling"]);
  });

  test("14: secrets in inputs and changes, without repeating them", () => {
    const inputs = { roles: [{ name: "a", password: "hunter2" }], note: "SCRAM-SHA-256$4096:x" };
    const plan = altered(creation, "database.roles", (step) => ({
      ...step,
      resource: { ...step.resource, inputs },
      changes: [{ path: "/s3_key_secret", after: "hunter2" }],
    }));
    const findings = checkPlan(plan, []);
    expect(findings.map(({ message }) => message)).toEqual([
      "/roles/0/password looks like a secret",
      "/note looks like a secret",
      "/s3_key_secret looks like a secret",
    ]);
    expect(JSON.stringify(findings)).not.toContain("hunter2");
  });
});
