import { expect, test } from "bun:test";
import {
  sampleHost,
  sampleNode,
  sampleService,
  sampleSpec,
} from "../../test/support/spec-samples.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { validateHosts } from "./validate-hosts.ts";

const hosts = [sampleHost("h1", "15.18", "17.11 5.0.4"), sampleHost("h2", "17.11")];
const n2 = sampleNode({ name: "n2", host_ids: ["h2"] });

function check(fields: Partial<DatabaseSpec>, previous?: Partial<DatabaseSpec>): readonly string[] {
  const before = previous === undefined ? undefined : sampleSpec(previous);
  return validateHosts(sampleSpec(fields), hosts, before).map(
    ({ path, code }) => `${path} ${code}`,
  );
}

test("what the hosts have is accepted", () => {
  expect(check({})).toEqual([]);
  expect(check({ postgres_version: "15.18" })).toEqual([]);
  expect(check({ postgres_version: "17.11", spock_version: "5" })).toEqual([]);
  expect(check({ nodes: [sampleNode({ postgres_version: "15.18" }), n2] })).toEqual([]);
});

test("unknown hosts are named where they are, with those that are known", () => {
  const nodes = [sampleNode({ host_ids: ["h1", "h8"] }), { ...n2, host_ids: ["h9"] }];
  const spec = sampleSpec({ nodes, services: [sampleService({ host_ids: ["h7"] })] });
  const problems = validateHosts(spec, hosts);
  expect(problems.map(({ path, code }) => `${path} ${code}`)).toEqual([
    "nodes[0].host_ids[1] unknown",
    "nodes[1].host_ids[0] unknown",
    "services[0].host_ids[0] unknown",
  ]);
  expect(problems[0]?.message).toContain("h8");
  expect(problems[0]?.hint).toContain("h1, h2");
});

test("a version that a host lacks is refused, and what it has is said", () => {
  const problems = validateHosts(sampleSpec({ postgres_version: "18.4" }), hosts);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatchObject({ path: "postgres_version", code: "unsupported" });
  expect(problems[0]?.hint).toBe("host h1 has 17.11, 15.18");
  expect(check({ postgres_version: "17.4" })).toEqual(["postgres_version unsupported"]);
  const nodes = [sampleNode(), { ...n2, postgres_version: "15.18" }];
  expect(check({ nodes })).toEqual(["nodes[1].postgres_version unsupported"]);
});

test("a version that the database already has stays good after the host's next minor", () => {
  expect(check({ postgres_version: "17.4" }, { postgres_version: "17.4" })).toEqual([]);
  expect(check({ postgres_version: "17.5" }, { postgres_version: "17.4" })).toEqual([
    "postgres_version unsupported",
  ]);
  expect(check({ postgres_version: "16.1" }, { postgres_version: "16.1" })).toEqual([
    "postgres_version unsupported",
  ]);
});

test("hosts without a version in common need one to be given", () => {
  const apart = [sampleHost("h1", "15.18"), sampleHost("h2", "17.11")];
  const problems = validateHosts(sampleSpec({ nodes: [sampleNode(), n2] }), apart);
  expect(problems[0]).toMatchObject({ path: "postgres_version", code: "unsupported" });
  expect(problems[0]?.message).toContain("host h1 has 15.18");
  const given = sampleSpec({
    nodes: [sampleNode({ postgres_version: "15.18" }), { ...n2, postgres_version: "17.11" }],
  });
  expect(validateHosts(given, apart)).toEqual([]);
});

test("hosts whose minors differ can share a database without a version being given", () => {
  const uneven = [sampleHost("h1", "17.10"), sampleHost("h2", "17.11")];
  expect(validateHosts(sampleSpec({ nodes: [sampleNode(), n2] }), uneven)).toEqual([]);
});

test("Spock must be installed where it is asked for", () => {
  expect(check({ postgres_version: "17.11", spock_version: "4" })).toEqual([
    "spock_version unsupported",
  ]);
  expect(
    check({ postgres_version: "17.11", spock_version: "5", nodes: [sampleNode(), n2] }),
  ).toEqual(["spock_version unsupported"]);
});

test("settings must exist in the version that gets them", () => {
  expect(check({ postgresql_conf: { work_mem: "4MB", "my.setting": 1 } })).toEqual([]);
  expect(check({ postgresql_conf: { wrok_mem: "4MB" }, nodes: [sampleNode(), n2] })).toEqual([
    "postgresql_conf.wrok_mem unknown_parameter",
  ]);
  const nodes = [sampleNode({ postgresql_conf: { block_size: 8192 } })];
  expect(check({ nodes })).toEqual(["nodes[0].postgresql_conf.block_size read_only_parameter"]);
});

test("include lines need a version that reads them", () => {
  const pg_hba_conf = ["host all all all md5", "include more.conf"];
  expect(check({ pg_hba_conf })).toEqual([]);
  const nodes = [sampleNode({ postgres_version: "15.18", pg_ident_conf: ["include x"] })];
  expect(check({ pg_hba_conf, nodes })).toEqual([
    "pg_hba_conf[1] unsupported",
    "nodes[0].pg_ident_conf[0] unsupported",
  ]);
});
