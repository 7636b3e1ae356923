// Bad input of every kind: a clear error that names the field, all problems at once, and nothing changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Answer, type Body, Sandbox, spec } from "./harness.ts";

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.initialised();
}, 60_000);
afterAll(() => sandbox.destroy(), 60_000);

/** Asserts a declared or framework error, and that nothing came of the request. */
async function refused(answer: Answer, status: number, name: string): Promise<string> {
  expect({ status: answer.status, name: answer.body.name }).toEqual({ status, name });
  expect((await sandbox.get("/v1/databases")).body.databases).toEqual([]);
  return String(answer.body.message);
}

const create = (body: unknown) => sandbox.post("/v1/databases", body);

test.each<[string, Body, readonly string[]]>([
  ["two ports of one number", { port: 5599, patroni_port: 5599 }, ["port"]],
  [
    "duplicate users and two owners",
    {
      database_users: [
        { username: "a", db_owner: true },
        { username: "a", db_owner: true },
      ],
    },
    ["database_users[1]", "db_owner"],
  ],
  ["unknown host", { nodes: [{ name: "n1", host_ids: ["nowhere"] }] }, ["nowhere"]],
  [
    "duplicate node names",
    {
      nodes: [
        { name: "n1", host_ids: ["h1"] },
        { name: "n1", host_ids: ["h1"] },
      ],
    },
    ["nodes[1].name"],
  ],
  [
    "a setting that is the system's",
    { postgresql_conf: { hba_file: "/etc/passwd" } },
    ["hba_file"],
  ],
  [
    "a setting name that injects configuration",
    { postgresql_conf: { "work_mem = 1\nshared_preload_libraries": "evil" } },
    ["postgresql_conf"],
  ],
  [
    "a pg_hba line of an unknown kind",
    { pg_hba_conf: ["hosts all all all trust"] },
    ["pg_hba_conf[0]"],
  ],
  [
    "a pg_hba line with a line break",
    { pg_hba_conf: ["# x\nhost all all all trust"] },
    ["pg_hba_conf[0]"],
  ],
  [
    "an attribute that does not exist",
    { database_users: [{ username: "a", attributes: ["LOGIN", "SUPERUSER; DROP TABLE x"] }] },
    ["attributes[1]"],
  ],
  [
    "a system role's name",
    { database_users: [{ username: "pgedge" }] },
    ["database_users[0].username"],
  ],
  [
    "two statements in one",
    { scripts: { post_init: ["SELECT 1; SELECT 2"] } },
    ["scripts.post_init[0]"],
  ],
  ["no statement", { scripts: { post_init: ["SELEC 1"] } }, ["scripts.post_init[0]"]],
  ["memory that is none", { memory: "lots" }, ["memory"]],
  ["a version that the host does not have", { postgres_version: "99.1" }, ["99.1"]],
])("%s", async (_name, overrides, mentions) => {
  const message = await refused(
    await create({ id: "bad", spec: spec(overrides) }),
    400,
    "invalid_input",
  );
  for (const mention of mentions) expect(message).toContain(mention);
});

test("all problems at once", async () => {
  const answer = await create({
    id: "bad",
    spec: spec({
      memory: "lots",
      pg_hba_conf: ["nonsense"],
      postgresql_conf: { ident_file: "x" },
      nodes: [
        { name: "n1", host_ids: ["h1"] },
        { name: "n1", host_ids: ["h1"] },
      ],
    }),
  });
  const message = await refused(answer, 400, "invalid_input");
  for (const mention of ["memory", "pg_hba_conf[0]", "ident_file", "nodes[1].name"])
    expect(message).toContain(mention);
  expect(answer.body.errors.length).toBeGreaterThanOrEqual(4);
  expect(answer.body.errors[0]).toMatchObject({
    path: expect.any(String),
    code: expect.any(String),
    message: expect.any(String),
  });
  expect(answer.headers.get("goa-error")).toBe("invalid_input");
});

test.each<[string, unknown, string]>([
  ["a field too many", { id: "bad", spec: spec({ prot: 1 }) }, "prot"],
  [
    "a nested field too many",
    { id: "bad", spec: spec({ nodes: [{ name: "n1", host_ids: ["h1"], hosts: [] }] }) },
    "hosts",
  ],
  [
    "a missing field",
    { id: "bad", spec: { nodes: [{ name: "n1", host_ids: ["h1"] }] } },
    "database_name",
  ],
  ["a wrong type", { id: "bad", spec: spec({ port: "5432" }) }, "port"],
  ["out of range", { id: "bad", spec: spec({ port: 70_000 }) }, "port"],
  ["too long", { id: "bad", spec: spec({ database_name: "x".repeat(32) }) }, "database_name"],
  ["not JSON", "{", ""],
  ["no body", undefined, ""],
])("%s is refused by shape", async (_name, body, mention) => {
  const answer = await create(body);
  expect(answer.status).toBe(400);
  expect(answer.body.message).toContain(mention);
  expect(answer.body).toMatchObject({ temporary: false, timeout: false, fault: false });
  expect([answer.body.name, answer.body.id].map((text) => typeof text)).toEqual([
    "string",
    "string",
  ]);
});

test("a shape error never echoes what was sent", async () => {
  const answer = await create({
    id: "bad",
    spec: spec({ port: "x", database_users: [{ username: "a", password: "hunter2-in-clear" }] }),
  });
  expect(JSON.stringify(answer.body)).not.toContain("hunter2");
  expect(sandbox.log()).not.toContain("hunter2");
});

test("ids that are none", async () => {
  expect((await create({ id: "Bad_Id", spec: spec() })).status).toBe(400);
  expect((await sandbox.get("/v1/databases/Bad_Id")).status).toBe(400);
  expect((await sandbox.get("/v1/databases/unknown")).body.name).toBe("not_found");
  expect((await sandbox.get("/v1/hosts/unknown")).body.name).toBe("not_found");
  expect((await sandbox.get("/v1/tasks?scope=planet")).status).toBe(400);
  expect((await sandbox.get("/v1/databases?frob=1")).status).toBe(400);
  expect((await sandbox.get("/v1/nothing")).status).toBe(404);
});

test("a port that something listens on is refused with node and host", async () => {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: () => undefined },
  });
  try {
    const message = await refused(
      await create({ id: "bad", spec: spec({ port: listener.port }) }),
      400,
      "invalid_input",
    );
    expect(message).toContain("n1");
    expect(message).toContain("h1");
    expect(message).toContain(String(listener.port));
  } finally {
    listener.stop(true);
  }
});

test("dry run changes nothing and shows the plan", async () => {
  const answer = await sandbox.post("/v1/databases?dry_run=true", { id: "dry", spec: spec() });
  expect(answer.status).toBe(200);
  expect(answer.body.steps.length).toBeGreaterThan(4);
  expect(JSON.stringify(answer.body)).not.toContain("s3cret-pass");
  expect((await sandbox.get("/v1/databases")).body.databases).toEqual([]);
  expect((await sandbox.get("/v1/tasks")).body.tasks).toEqual([]);
});

test("Idempotency-Key: the same request twice makes one database", async () => {
  const headers = { "Idempotency-Key": "only-once" };
  const first = await sandbox.post("/v1/databases", { id: "once", spec: spec() }, headers);
  const second = await sandbox.post("/v1/databases", { id: "once", spec: spec() }, headers);
  expect(second.body).toEqual(first.body);
  const other = await sandbox.post("/v1/databases", { id: "twice", spec: spec() }, headers);
  expect(other.status).toBeGreaterThanOrEqual(400);
  expect((await sandbox.get("/v1/databases")).body.databases).toHaveLength(1);
  await sandbox.finished(first.body.task);
  expect((await sandbox.post("/v1/databases", { id: "once", spec: spec() })).body.name).toBe(
    "database_already_exists",
  );
}, 60_000);
