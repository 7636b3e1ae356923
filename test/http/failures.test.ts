// Everything that is refused, and how: names, headers, both bodies of a 400, and what is never said.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AppError, inContext } from "../../src/base/errors.ts";
import { requestBodyBytesMax } from "../../src/base/limits.ts";
import { invalidInput } from "../../src/operations/errors.ts";
import { StoreError } from "../../src/store/store-error.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

const SPEC = { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1"] }] };

let server: TestServer;
beforeEach(async () => {
  server = startTestServer();
  await fetch(`${server.url}/v1/cluster/init`, { method: "POST" });
});
afterEach(() => server.stop());

function post(path: string, body: string, headers: Record<string, string> = {}) {
  return fetch(server.url + path, { method: "POST", body, headers });
}

function get(path: string) {
  return fetch(server.url + path);
}

async function bodyOf(response: Response): Promise<{ name: string; message: string }> {
  const body: unknown = await response.json();
  const { name, message } = Object(body);
  return { name: String(name), message: String(message) };
}

describe("a malformed request", () => {
  test("is answered with every problem, by field, without its values", async () => {
    const response = await post(
      "/v1/databases?dry_run=maybe",
      JSON.stringify({
        id: "",
        spec: {
          nodes: [{ name: "x", host_ids: [], pasword: "hunter2" }],
          database_users: [{ username: "u", password: 12345678 }],
          port: 70000,
        },
      }),
    );
    expect(response.status).toBe(400);
    expect(response.headers.get("goa-error")).toBeNull();
    const text = await response.text();
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain("12345678");
    const body = JSON.parse(text);
    expect(body).toMatchObject({
      name: "invalid_field_type",
      id: response.headers.get("x-request-id"),
      temporary: false,
      timeout: false,
      fault: false,
    });
    expect(body.message.split("; ").sort()).toEqual([
      "body.id: must have at least 1 character(s)",
      "body.spec.database_name: is required",
      "body.spec.database_users[0].password: must be a string",
      "body.spec.nodes[0].host_ids: must have at least 1 item(s)",
      "body.spec.nodes[0].name: must match n[0-9]+",
      "body.spec.nodes[0].pasword: unknown field",
      "body.spec.port: must be at most 65535",
      "query.dry_run: must be a boolean",
    ]);
    expect(body.errors).toHaveLength(8);
  });

  test.each([
    ["", "missing_payload"],
    ["{", "decode_payload"],
    ['"\xff', "decode_payload"],
    ["[]", "invalid_field_type"],
    ["null", "invalid_field_type"],
    ["{}", "missing_field"],
    [JSON.stringify({ spec: SPEC, sepc: 1 }), "decode_payload"],
    [JSON.stringify({ spec: { ...SPEC, database_name: "" } }), "invalid_length"],
    [JSON.stringify({ spec: { ...SPEC, port: -1 } }), "invalid_range"],
    [JSON.stringify({ spec: { ...SPEC, port: "1" } }), "invalid_field_type"],
    [JSON.stringify({ spec: { ...SPEC, port: 1.5 } }), "invalid_field_type"],
    [JSON.stringify({ spec: { ...SPEC, postgres_version: "17" } }), "invalid_pattern"],
  ])("body %j is %s", async (body, name) => {
    const response = await post("/v1/databases", body);
    expect(response.status).toBe(400);
    expect((await bodyOf(response)).name).toBe(name);
  });

  test.each([
    [
      "/v1/databases?incldue=x",
      "decode_payload",
      "query.incldue: unknown field (did you mean include?)",
    ],
    ["/v1/hosts?x=1", "decode_payload", "query.x: unknown field"],
    ["/v1/tasks?limit=ten", "invalid_field_type", "query.limit: must be an integer"],
    ["/v1/tasks?limit=-1", "invalid_range", "query.limit: must be at least 0"],
    ["/v1/tasks?limit=1&limit=2", "invalid_field_type", "query.limit: is given more than once"],
    ["/v1/tasks?after_task_id=1", "invalid_format", "query.after_task_id: must be a UUID"],
    ["/v1/tasks?scope=task", "invalid_enum_value", "query.scope: must be one of database, host"],
    ["/v1/databases/a/tasks/1", "invalid_format", "path.task_id: must be a UUID"],
  ])("GET %s is %s", async (path, name, message) => {
    const response = await get(path);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ name, message });
  });

  test.each(["?limit=", "?sort_order=&scope=", "?after_task_id="])(
    "an empty parameter is an absent one: %s",
    async (query) => {
      expect((await get(`/v1/tasks${query}`)).status).toBe(200);
    },
  );

  test.each(["Shop", "sh--op", "-shop", "shop-", "a".repeat(37), "sh%2Fop"])(
    "%s is no id of a database",
    async (id) => {
      const response = await get(`/v1/databases/${id}`);
      expect(response.status).toBe(400);
      expect((await bodyOf(response)).name).toBe(
        id.length > 36 ? "invalid_length" : "invalid_input",
      );
    },
  );
});

describe("too much", () => {
  test("a body that says it is too long", async () => {
    const response = await post("/v1/databases", " ".repeat(requestBodyBytesMax + 1));
    expect(response.status).toBe(413);
    expect((await bodyOf(response)).name).toBe("payload_too_large");
  });

  test("a body that does not say how long it is", async () => {
    const chunk = new Uint8Array(1024 * 1024).fill(32);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(chunk);
        sent += chunk.length;
        if (sent > requestBodyBytesMax) controller.close();
      },
    });
    const response = await fetch(`${server.url}/v1/databases`, { method: "POST", body });
    expect(response.status).toBe(413);
  });
});

describe("no such route", () => {
  test("an unknown path", async () => {
    const response = await get("/v2/databases");
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({
      name: "not_found",
      message: "no such path: /v2/databases",
    });
  });

  test("an unknown method", async () => {
    const response = await fetch(`${server.url}/v1/databases/shop`, { method: "PATCH" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("DELETE, GET, HEAD, POST");
  });
});

describe("errors from below", () => {
  test("problems of the input keep their fields", async () => {
    server.operations.failure = invalidInput([
      { path: "spec.nodes[0].port", code: "in_use", message: "is in use", hint: "use 0" },
      { path: "", code: "other", message: "something else" },
    ]);
    const response = await get("/v1/databases");
    expect(response.status).toBe(400);
    expect(response.headers.get("goa-error")).toBe("invalid_input");
    expect(await response.json()).toEqual({
      name: "invalid_input",
      message: "spec.nodes[0].port: is in use\nsomething else",
      errors: [
        { path: "spec.nodes[0].port", code: "in_use", message: "is in use", hint: "use 0" },
        { path: "", code: "other", message: "something else" },
      ],
    });
  });

  test.each(["no_leader", "unavailable", "timeout"] as const)(
    "a store with %s asks to try again",
    async (reason) => {
      server.operations.failure = inContext("list", new StoreError(reason, "10.0.0.1: refused"));
      const response = await get("/v1/databases");
      expect(response.status).toBe(503);
      expect(response.headers.get("goa-error")).toBe("no_quorum");
      expect(response.headers.get("retry-after")).toBe("2");
      expect(await response.text()).not.toContain("10.0.0.1");
    },
  );

  test("a write whose outcome is unknown says so", async () => {
    server.operations.failure = new StoreError("unknown", "connection lost");
    const response = await get("/v1/databases");
    expect(response.status).toBe(503);
    expect((await bodyOf(response)).message).toContain("may or may not");
  });

  test.each([
    ["an error of SQL", new StoreError("sql", "no such table: secrets")],
    ["a bug", new AppError("bug", "password hunter2")],
    ["a foreign error", new TypeError("password hunter2")],
    ["no error at all", "password hunter2"],
  ])("%s is an internal error, told to the log only", async (_, failure) => {
    server.operations.failure = failure;
    const response = await get("/v1/databases");
    expect(response.status).toBe(500);
    expect(response.headers.get("goa-error")).toBe("server_error");
    const id = response.headers.get("x-request-id");
    expect(await response.json()).toEqual({
      name: "server_error",
      message: `internal error; the server's log has it under request ${id}`,
    });
    expect(
      server.lines.filter(({ level, requestId }) => level === "error" && requestId === id),
    ).toHaveLength(2);
  });
});

describe("pages of other sites", () => {
  test.each([
    [{ origin: "http://evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "same-site" }, 403],
    [{ "sec-fetch-site": "same-origin", origin: "http://elsewhere" }, 200],
    [{ "sec-fetch-site": "none" }, 200],
    [{}, 200],
  ])("a change with %j answers %d", async (headers, status) => {
    const response = await post("/v1/databases", JSON.stringify({ spec: SPEC }), headers);
    expect(response.status).toBe(status);
  });

  test("the own page may", async () => {
    const response = await post("/v1/databases", JSON.stringify({ spec: SPEC }), {
      origin: server.url,
    });
    expect(response.status).toBe(200);
  });

  test("reading is not protected, except where it changes something", async () => {
    const headers = { origin: "http://evil.example" };
    expect((await fetch(`${server.url}/v1/databases`, { headers })).status).toBe(200);
    expect((await fetch(`${server.url}/v1/cluster/init`, { headers })).status).toBe(403);
  });
});

describe("request ids and the access log", () => {
  test("a harmless id of the client is kept", async () => {
    const response = await fetch(`${server.url}/v1/hosts/h1?x=secret`, {
      headers: { "x-request-id": "abc:1", "user-agent": "curl/8" },
    });
    expect(response.headers.get("x-request-id")).toBe("abc:1");
    const line = server.lines.find(({ requestId }) => requestId === "abc:1");
    expect(line).toMatchObject({
      level: "warn",
      msg: "request",
      "http.url": "/v1/hosts/h1",
      "http.method": "GET",
      "http.client_ip": "127.0.0.1",
      "http.useragent": "curl/8",
      "http.status_code": 400,
    });
    expect(line?.duration_ms).toBeNumber();
    expect(JSON.stringify(line)).not.toContain("secret");
  });

  test.each(["has space", "<script>", "x".repeat(129)])("%p is replaced", async (id) => {
    const response = await fetch(`${server.url}/v1/version`, { headers: { "x-request-id": id } });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("levels follow the status", async () => {
    server.lines.length = 0;
    await get("/v1/version");
    await get("/v1/hosts");
    await get("/none");
    server.operations.failure = new Error("x");
    await get("/v1/databases");
    const requests = server.lines.filter(({ msg }) => msg === "request");
    expect(requests.map(({ level }) => level)).toEqual(["debug", "info", "warn", "error"]);
  });
});
