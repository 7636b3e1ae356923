import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { sampleNode, sampleService, sampleSpec, specs } from "../../test/support/spec-samples.ts";
import type { BackupRepositorySpec } from "./backup-spec.ts";
import { presentSpec } from "./present.ts";
import { retainSecrets } from "./retain.ts";

const s3: BackupRepositorySpec = {
  id: "main",
  type: "s3",
  s3_bucket: "backups",
  s3_key: "AKIA",
  s3_key_secret: "hidden",
  custom_options: { "cipher-pass": "hidden", "cipher-type": "aes-256-cbc" },
};
const restore = {
  source_database_id: "old",
  source_node_name: "n1",
  source_database_name: "shop",
  repository: { type: "azure" as const, azure_account: "abc", azure_key: "hidden" },
};

test("a spec that was fetched and posted back is the stored one again", () => {
  fc.assert(
    fc.property(specs, (stored) => {
      expect(retainSecrets(stored, presentSpec(stored))).toEqual(stored);
    }),
  );
});

test("presenting hides every secret and nothing else", () => {
  const stored = sampleSpec({
    database_users: [{ username: "app", password: "hidden", db_owner: true }],
    backup_config: { repositories: [s3] },
    restore_config: restore,
    nodes: [
      sampleNode({
        backup_config: { repositories: [{ type: "gcs", gcs_bucket: "b", gcs_key: "hidden" }] },
      }),
    ],
    services: [
      sampleService({
        config: {
          jwt_secret: "hidden",
          init_token: "hidden",
          token: "hidden",
          INIT_USERS: [{ username: "hidden" }],
          token_budget: 5,
          pipelines: [{ name: "p", embedding_llm: { model: "m", api_key: "hidden" } }],
        },
      }),
    ],
  });
  const shown = presentSpec(stored);
  expect(JSON.stringify(shown)).not.toContain("hidden");
  expect(JSON.stringify(shown)).not.toContain("AKIA");
  expect(shown.database_users).toEqual([{ username: "app", db_owner: true }]);
  expect(shown.backup_config?.repositories[0]?.custom_options).toEqual({
    "cipher-type": "aes-256-cbc",
  });
  expect(shown.services?.[0]?.config).toEqual({
    token_budget: 5,
    pipelines: [{ name: "p", embedding_llm: { model: "m" } }],
  });
  expect(stored.database_users?.[0]?.password).toBe("hidden");
});

test("a password comes back to its user, and a new one replaces it", () => {
  const stored = sampleSpec({
    database_users: [
      { username: "a", password: "pa" },
      { username: "b", password: "pb" },
      { username: "c" },
    ],
  });
  const next = sampleSpec({
    database_users: [
      { username: "b" },
      { username: "a", password: "new" },
      { username: "c" },
      { username: "d" },
    ],
  });
  expect(retainSecrets(stored, next).database_users).toEqual([
    { username: "b", password: "pb" },
    { username: "a", password: "new" },
    { username: "c" },
    { username: "d" },
  ]);
});

test.each(["type", "id", "s3_bucket", "s3_endpoint", "s3_region", "base_path"] as const)(
  "credentials do not follow a repository whose %s changes",
  (field) => {
    const stored = sampleSpec({ backup_config: { repositories: [s3] } });
    const moved = { ...s3, [field]: field === "type" ? "cifs" : "elsewhere" };
    const { s3_key: _key, s3_key_secret: _secret, ...rest } = moved;
    const next = sampleSpec({ backup_config: { repositories: [{ ...rest, custom_options: {} }] } });
    expect(JSON.stringify(retainSecrets(stored, next))).not.toContain("hidden");
  },
);

test("credentials follow the repository when its retention or its place in the list changes", () => {
  const other: BackupRepositorySpec = { id: "other", type: "posix", base_path: "/b" };
  const stored = sampleSpec({ backup_config: { repositories: [s3, other] } });
  const shown = presentSpec(stored).backup_config?.repositories ?? [];
  const next = sampleSpec({
    backup_config: {
      repositories: shown.toReversed().map((one) => ({ ...one, retention_full: 9 })),
    },
  });
  expect(retainSecrets(stored, next).backup_config?.repositories[1]).toEqual({
    ...s3,
    retention_full: 9,
  });
});

test("credentials of a restore stay with its repository, on the node where it is", () => {
  const stored = sampleSpec({ nodes: [sampleNode({ restore_config: restore })] });
  const shown = presentSpec(stored);
  expect(shown.nodes[0]?.restore_config?.repository.azure_key).toBeUndefined();
  expect(retainSecrets(stored, shown).nodes[0]?.restore_config).toEqual(restore);
  const other = { ...restore, repository: { type: "azure" as const, azure_account: "xyz" } };
  const moved = retainSecrets(
    stored,
    sampleSpec({ nodes: [sampleNode({ restore_config: other })] }),
  );
  expect(moved.nodes[0]?.restore_config?.repository.azure_key).toBeUndefined();
});

test("versions are kept unless they are given", () => {
  const stored = sampleSpec({
    postgres_version: "17.11",
    spock_version: "5",
    nodes: [sampleNode(), sampleNode({ name: "n2", host_ids: ["h2"], postgres_version: "18.4" })],
  });
  const reordered = sampleSpec({
    nodes: [sampleNode({ name: "n2", host_ids: ["h2"] }), sampleNode()],
  });
  const kept = retainSecrets(stored, reordered);
  expect(kept).toMatchObject({ postgres_version: "17.11", spock_version: "5" });
  expect(kept.nodes.map(({ postgres_version }) => postgres_version)).toEqual(["18.4", undefined]);
  expect(retainSecrets(stored, sampleSpec({ postgres_version: "17.12" })).postgres_version).toBe(
    "17.12",
  );
});

test("neither argument is changed", () => {
  fc.assert(
    fc.property(specs, specs, (stored, next) => {
      const before = structuredClone([stored, next]);
      retainSecrets(stored, next);
      presentSpec(stored);
      expect([stored, next]).toEqual(before);
    }),
    { numRuns: 30 },
  );
});
