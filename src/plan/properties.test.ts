// What holds for every plan, over generated specs, hosts and histories with failures.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Circumstances,
  emptyDatabase,
  groupsIn,
  host,
  type ModelDatabase,
  planInput,
  verifier,
} from "../../test/support/planning.ts";
import { must } from "../base/assert.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { HostRecord } from "../spec/host.ts";
import type { SlotSpec } from "../spec/slots.ts";
import { checkPlan } from "./check.ts";
import { planStop } from "./instance-plans.ts";
import { nothingObserved } from "./observed.ts";
import { afterStep, storedAfterFailure, storedBefore } from "./outcome.ts";
import { makeDeletePlan, makePlan } from "./plan.ts";
import { type Plan, resourceKey, type StoredResource } from "./resource.ts";
import { stagesOf } from "./stages.ts";

/** The same cases every time; PROPERTY_SEED and PROPERTY_RUNS look further. */
const runs = {
  seed: Number(process.env.PROPERTY_SEED ?? "1"),
  numRuns: Number(process.env.PROPERTY_RUNS ?? "150"),
  includeErrorInReport: true,
};
const hostIds = ["host-1", "host-2", "host-3"];

const someHosts: fc.Arbitrary<readonly HostRecord[]> = fc
  .record({ spock: fc.boolean(), gib: fc.integer({ min: 1, max: 64 }), loopback: fc.boolean() })
  .map(({ spock, gib, loopback }) =>
    hostIds.map((id) => {
      const plain = host(id, { memory_bytes: gib * 1024 ** 3 });
      const spock_version = spock ? "5.0.4" : null;
      const installations = plain.installations.map((found) => ({ ...found, spock_version }));
      const addresses = loopback
        ? { client_addresses: ["localhost"], peer_addresses: ["::1"] }
        : {};
      return { ...plain, installations, ...addresses };
    }),
  );

const settings = fc.dictionary(
  fc.constantFrom("work_mem", "max_connections", "Wal_Level", "spock.save_resolutions"),
  fc.oneof(fc.integer({ min: 1, max: 99 }), fc.boolean(), fc.constant("a/b~c")),
);
const port = fc.option(fc.constantFrom(0, 5432, 5433), { nil: undefined });
const user = fc.record(
  {
    username: fc.constantFrom("admin", "app", "audit"),
    password: fc.constantFrom("a", "b").map(verifier),
    attributes: fc.subarray(["LOGIN", "createdb"]),
    roles: fc.subarray(["pg_monitor", "admin"]),
  },
  { requiredKeys: ["username"] },
);

/** A node keeps its version, because changing it in place is refused elsewhere. */
const node = fc
  .record(
    {
      name: fc.constantFrom("n1", "n2", "n3", "n4"),
      host_ids: fc.shuffledSubarray(hostIds, { minLength: 1, maxLength: 2 }),
      postgresql_conf: settings,
      cpus: fc.constantFrom("1", "500m"),
      slots: fc.subarray<SlotSpec>([
        { name: "archive", type: "physical" },
        { name: "feed", type: "logical", plugin: "test_decoding" },
      ]),
    },
    { requiredKeys: ["name", "host_ids"] },
  )
  .map((made) => ({ ...made, postgres_version: /[13]/.test(made.name) ? "17.11" : "15.18" }));

const someSpec: fc.Arbitrary<DatabaseSpec> = fc
  .record({
    nodes: fc.uniqueArray(node, { minLength: 1, maxLength: 4, selector: ({ name }) => name }),
    users: fc.uniqueArray(user, { maxLength: 3, selector: ({ username }) => username }),
    port,
    restPort: port,
    conf: settings,
    hba: fc.subarray(["local all all reject", "host all all 10.0.0.0/8 md5"]),
    memory: fc.option(fc.constantFrom("1GB", "4GiB"), { nil: undefined }),
    scripts: fc.record({
      post_init: fc.subarray(["SELECT 1", "SELECT 2"]),
      post_database_create: fc.subarray(["SELECT 3"]),
    }),
    disable: fc.boolean(),
  })
  .map(({ nodes, users, conf, hba, restPort, scripts, disable, ...rest }) => ({
    database_name: "shop",
    nodes,
    database_users: users,
    postgresql_conf: conf,
    pg_hba_conf: hba,
    scripts,
    disable_removed_users: disable,
    ...(rest.port === undefined ? {} : { port: rest.port }),
    ...(restPort === undefined ? {} : { patroni_port: restPort }),
    ...(rest.memory === undefined ? {} : { memory: rest.memory }),
  }));

/** One change of a database; `failsAt` picks the step that fails, by a part of the plan's length. */
const someChange = fc.record({
  spec: someSpec,
  forceUpdate: fc.boolean(),
  gone: fc.nat({ max: 5 }),
  waiting: fc.nat({ max: 5 }),
  failsAt: fc.option(fc.double({ min: 0, max: 0.999, noNaN: true }), { nil: undefined }),
  crashes: fc.boolean(),
});
type SomeChange = Parameters<Parameters<typeof someChange.map>[0]>[0];
const someHistory = fc.array(someChange, { minLength: 1, maxLength: 4 });

function circumstances(database: ModelDatabase, change: SomeChange): Circumstances {
  const ids = database.stored.flatMap(({ kind, id }) => (kind === "database.instance" ? [id] : []));
  return {
    forceUpdate: change.forceUpdate,
    observed: {
      absentKeepers: new Set(ids.slice(change.gone)),
      pendingRestart: new Set(ids.slice(change.waiting)),
    },
  };
}

/** Applies the first steps of a plan; the next one fails, or is cut by a crash, or nothing happens to it. */
function applyPart(database: ModelDatabase, plan: Plan, change: SomeChange): ModelDatabase {
  const { steps } = plan;
  const end =
    change.failsAt === undefined ? steps.length : Math.floor(change.failsAt * steps.length);
  let stored = steps.slice(0, end).reduce(afterStep, database.stored);
  const failing = steps[end];
  if (failing !== undefined) {
    const key = resourceKey(failing.resource);
    const previous = stored.find((resource) => resourceKey(resource) === key);
    const left = change.crashes
      ? (storedBefore(failing) ?? previous)
      : storedAfterFailure(failing, previous, "failed on purpose");
    stored = stored.filter((resource) => resourceKey(resource) !== key);
    if (left !== undefined) stored = [...stored, left];
  }
  const wasAvailable = database.wasAvailable || failing === undefined;
  const leased = new Set([...database.leased, ...groupsIn(stored)]);
  const { generation } = plan;
  return { ...database, stored: reread(stored), generation, wasAvailable, leased };
}

/** As the store gives it back: through JSON, in the order of the keys. */
function reread(stored: readonly StoredResource[]): readonly StoredResource[] {
  const read: StoredResource[] = JSON.parse(JSON.stringify(stored));
  return read.sort((a, b) => (resourceKey(a) < resourceKey(b) ? -1 : 1));
}

/** Walks through a history and shows every plan that was made on the way; refused specs change nothing. */
function walk(
  hosts: readonly HostRecord[],
  history: readonly SomeChange[],
  visit: (before: ModelDatabase, plan: Plan, change: SomeChange) => void,
): ModelDatabase {
  let database = emptyDatabase(hosts);
  for (const change of history) {
    const input = planInput(database, change.spec, circumstances(database, change));
    const result = makePlan(input);
    if (!result.ok) {
      expect(result.error.map(({ code }) => code)).toEqual(result.error.map(() => "data_loss"));
      continue;
    }
    visit(database, result.value, change);
    database = applyPart(database, result.value, change);
  }
  return database;
}

function steps(database: ModelDatabase, spec: DatabaseSpec): Plan {
  const result = makePlan(planInput(database, spec));
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

describe("of every history", () => {
  test("checkPlan finds nothing in any plan, deletions included", () => {
    fc.assert(
      fc.property(someHosts, someHistory, (hosts, history) => {
        const end = walk(hosts, history, (before, plan) => {
          expect(checkPlan(plan, before.stored)).toEqual([]);
        });
        const deletion = deletionOf(end);
        expect(checkPlan(deletion, end.stored)).toEqual([]);
      }),
      runs,
    );
  });

  test("the last spec is reached by the next plan, whatever failed before, and the one after is empty", () => {
    fc.assert(
      fc.property(someHosts, someHistory, (hosts, history) => {
        let last: DatabaseSpec | undefined;
        const end = walk(hosts, history, (_, __, { spec }) => {
          last = spec;
        });
        const spec = must(last, "a spec that was planned");
        const plan = steps(end, spec);
        expect(checkPlan(plan, end.stored)).toEqual([]);
        const stored = reread(plan.steps.reduce(afterStep, end.stored));
        const leased = new Set([...end.leased, ...groupsIn(stored)]);
        const reached = { ...end, stored, leased };
        const wanted = must(
          stagesOf(planInput(end, spec), nothingObserved).at(-1),
          "stage",
        ).desired;
        for (const resource of wanted) {
          const key = resourceKey(resource);
          const found = reached.stored.find((candidate) => resourceKey(candidate) === key);
          if (resource.kind !== "database.script") expect(found?.inputs).toEqual(resource.inputs);
          expect(found?.state).toBe("applied");
        }
        const keys = new Set(wanted.map(resourceKey));
        const extra = reached.stored.filter((resource) => !keys.has(resourceKey(resource)));
        expect(extra.map(({ kind }) => kind)).toEqual(extra.map(() => "database.script"));
        expect(steps({ ...reached, wasAvailable: true }, spec).steps).toEqual([]);
      }),
      runs,
    );
  });

  test("deleting leaves nothing", () => {
    fc.assert(
      fc.property(someHosts, someHistory, (hosts, history) => {
        const end = walk(hosts, history, () => undefined);
        expect(deletionOf(end).steps.reduce(afterStep, end.stored)).toEqual([]);
      }),
      runs,
    );
  });

  test("planning is deterministic and does not depend on the order of what is stored", () => {
    fc.assert(
      fc.property(someHosts, someHistory, (hosts, history) => {
        walk(hosts, history, (before, plan, change) => {
          const turned = { ...before, stored: [...before.stored].reverse() };
          const again = makePlan(planInput(turned, change.spec, circumstances(before, change)));
          expect(again).toEqual({ ok: true, value: plan });
        });
      }),
      runs,
    );
  });

  test("stopping an instance and planning again only starts it", () => {
    fc.assert(
      fc.property(someHosts, someSpec, (hosts, spec) => {
        const empty = emptyDatabase(hosts);
        const created = steps(empty, spec).steps.reduce(afterStep, empty.stored);
        const [instance] = created.filter(({ kind }) => kind === "database.instance");
        const stop = planStop({
          databaseId: "shop",
          instanceId: must(instance, "instance").id,
          parentGeneration: 1,
          stored: created,
          observed: nothingObserved,
        });
        if (!stop.ok) throw new Error(stop.error);
        expect(checkPlan(stop.value, created)).toEqual([]);
        const stored = stop.value.steps.reduce(afterStep, created);
        const next = steps({ ...empty, stored, generation: 2, wasAvailable: true }, spec);
        expect(next.steps.map(({ changes }) => changes.map(({ path }) => path))).toEqual([
          ["/run"],
        ]);
        expect(next.restarts).toEqual([]);
      }),
      runs,
    );
  });
});

function deletionOf({ databaseId, generation, stored }: ModelDatabase): Plan {
  return makeDeletePlan({
    databaseId,
    parentGeneration: generation,
    stored,
    observed: nothingObserved,
  });
}
