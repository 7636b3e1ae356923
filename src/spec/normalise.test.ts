import { expect, test } from "bun:test";
import { sampleNode, sampleSpec } from "../../test/support/spec-samples.ts";
import { resolveNodes } from "./normalise.ts";

const backup = (id: string) => ({
  repositories: [{ id, type: "posix" as const, base_path: "/b" }],
});
const restore = {
  source_database_id: "old",
  source_node_name: "n1",
  source_database_name: "shop",
  repository: { type: "posix" as const, base_path: "/b" },
};

test("a node takes from the database what it does not say itself", () => {
  const [n1, n2] = resolveNodes(
    sampleSpec({
      postgres_version: "17.11",
      port: 5432,
      patroni_port: 8888,
      cpus: "2",
      memory: "1GiB",
      backup_config: backup("all"),
      nodes: [
        sampleNode(),
        sampleNode({
          name: "n2",
          host_ids: ["h2", "h3"],
          postgres_version: "18.4",
          port: 0,
          patroni_port: 9999,
          cpus: "500m",
          memory: "512MB",
          backup_config: backup("own"),
        }),
      ],
    }),
  );
  expect(n1).toMatchObject({
    name: "n1",
    ordinal: 1,
    hostIds: ["h1"],
    postgresVersion: "17.11",
    port: 5432,
    patroniPort: 8888,
    cpus: 2,
    memoryBytes: 1_073_741_824,
    backupConfig: backup("all"),
  });
  expect(n2).toMatchObject({
    ordinal: 2,
    hostIds: ["h2", "h3"],
    postgresVersion: "18.4",
    port: 0,
    patroniPort: 9999,
    cpus: 0.5,
    memoryBytes: 512_000_000,
    backupConfig: backup("own"),
  });
});

test("what nobody says stays absent, and a limit of 0 is no limit", () => {
  const [bare] = resolveNodes(sampleSpec());
  expect(bare).toMatchObject({ port: undefined, patroniPort: undefined, cpus: undefined });
  const [zero] = resolveNodes(sampleSpec({ cpus: "0", memory: "0" }));
  expect(zero).toMatchObject({ cpus: undefined, memoryBytes: undefined });
});

test("settings are merged name by name, whatever their case", () => {
  const [node] = resolveNodes(
    sampleSpec({
      postgresql_conf: { work_mem: "4MB", Max_Connections: 50, fsync: true },
      nodes: [sampleNode({ postgresql_conf: { WORK_MEM: "8MB", "spock.x": 1 } })],
    }),
  );
  expect(node?.postgresqlConf).toEqual({
    work_mem: "8MB",
    max_connections: 50,
    fsync: true,
    "spock.x": 1,
  });
});

test("a node's lines come before the database's", () => {
  const [node] = resolveNodes(
    sampleSpec({
      pg_hba_conf: ["host a a all md5"],
      pg_ident_conf: ["m a a"],
      nodes: [sampleNode({ pg_hba_conf: ["host b b all md5"], pg_ident_conf: ["m b b"] })],
    }),
  );
  expect(node?.pgHbaConf).toEqual(["host b b all md5", "host a a all md5"]);
  expect(node?.pgIdentConf).toEqual(["m b b", "m a a"]);
});

test("a node that copies from another is not restored from a backup", () => {
  const [n1, n2] = resolveNodes(
    sampleSpec({
      restore_config: restore,
      nodes: [sampleNode(), sampleNode({ name: "n2", host_ids: ["h2"], source_node: "n1" })],
    }),
  );
  expect(n1?.restoreConfig).toEqual(restore);
  expect(n2).toMatchObject({ restoreConfig: undefined, sourceNode: "n1" });
});
