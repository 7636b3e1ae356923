import { expect, test } from "bun:test";
import { renderHba, renderLines, systemAddressesOf } from "./hba.ts";
import { renderIdent } from "./ident.ts";

test("own roles come first, users before the catch-all, and nothing is trusted", () => {
  const lines = renderHba({
    systemAddresses: ["10.0.0.1", "fd00::1", "10.1.0.0/16", "db1.example"],
    nodeAndDatabaseLines: ["host app app 192.168.0.0/24 md5"],
  });
  expect(lines).toEqual([
    "local all pgedge,patroni_replicator peer map=pgherd",
    "local replication pgedge,patroni_replicator peer map=pgherd",
    "hostssl all pgedge,patroni_replicator 10.0.0.1/32 cert",
    "hostssl replication pgedge,patroni_replicator 10.0.0.1/32 cert",
    "hostssl all pgedge,patroni_replicator fd00::1/128 cert",
    "hostssl replication pgedge,patroni_replicator fd00::1/128 cert",
    "hostssl all pgedge,patroni_replicator 10.1.0.0/16 cert",
    "hostssl replication pgedge,patroni_replicator 10.1.0.0/16 cert",
    "hostssl all pgedge,patroni_replicator db1.example cert",
    "hostssl replication pgedge,patroni_replicator db1.example cert",
    "host all pgedge,patroni_replicator all reject",
    "host replication pgedge,patroni_replicator all reject",
    "host app app 192.168.0.0/24 md5",
    "local all all scram-sha-256",
    "host all all 0.0.0.0/0 scram-sha-256",
    "host all all ::/0 scram-sha-256",
  ]);
});

test("system addresses can be read back, and user lines are not taken for them", () => {
  const lines = renderHba({
    systemAddresses: ["10.0.0.1", "fd00::/64"],
    nodeAndDatabaseLines: ["hostssl all app 10.9.9.9/32 cert"],
  });
  expect(systemAddressesOf(lines)).toEqual(["10.0.0.1/32", "fd00::/64"]);
});

test("a line cannot hold or swallow another one", () => {
  for (const line of ["a\nb", "a\rb", "host all all all reject \\", "a\0"]) {
    expect(() => renderHba({ systemAddresses: [], nodeAndDatabaseLines: [line] })).toThrow(
      "not one line",
    );
    expect(() => renderLines([line], "h")).toThrow("not one line");
  }
  expect(() => renderHba({ systemAddresses: ["1.2.3.4 trust"], nodeAndDatabaseLines: [] })).toThrow(
    "not an address",
  );
});

test("the map lets each operating-system user be the control plane's roles", () => {
  expect(renderIdent({ systemUsers: ["root", "postgres", "root"], userLines: ["m a b"] })).toEqual([
    'pgherd "root" pgedge',
    'pgherd "root" patroni_replicator',
    'pgherd "postgres" pgedge',
    'pgherd "postgres" patroni_replicator',
    "m a b",
  ]);
  expect(() => renderIdent({ systemUsers: ["/.*"], userLines: [] })).toThrow("not a user name");
});
