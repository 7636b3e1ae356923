// The command line against a small HTTP server: outputs, exit statuses, waiting.
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { runCli } from "./main.ts";
import type { Terminal } from "./terminal.ts";

type Handler = (request: Request, url: URL) => Response | Promise<Response>;

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

function serve(handler: Handler): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => handler(request, new URL(request.url)),
  });
  stops.push(() => server.stop(true));
  return `http://127.0.0.1:${server.port}`;
}

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly files: ReadonlyMap<string, string>;
}

async function pgherd(
  server: string,
  argv: readonly string[],
  files: Record<string, string> = {},
  over: Partial<Terminal> = {},
): Promise<Ran> {
  let out = "";
  let err = "";
  const disk = new Map(Object.entries(files));
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    outIsTty: false,
    errIsTty: false,
    inIsTty: false,
    env: { HOME: "/home/user", PGHERD_SERVER: server || undefined },
    clock: systemClock,
    signal: new AbortController().signal,
    readText: async (path) => {
      const text = disk.get(path);
      if (text === undefined) throw new Error(`no file ${path}`);
      return text;
    },
    writeText: async (path, text) => {
      disk.set(path, text);
    },
    readBytes: async (path) => new TextEncoder().encode(disk.get(path) ?? ""),
    writeBytes: async (path, bytes) => {
      disk.set(path, new TextDecoder().decode(bytes));
    },
    fileExists: async (path) => disk.has(path),
    prompt: async () => "",
    exec: async () => 0,
    ...over,
  };
  const status = await runCli(argv, terminal);
  return { status, out, err, files: disk };
}

const task = {
  scope: "database",
  entity_id: "shop",
  task_id: "t1",
  type: "create",
  status: "pending",
  created_at: "2026-01-01T00:00:00Z",
};
const databases = {
  databases: [
    {
      id: "shop",
      state: "available",
      created_at: "2026-01-01T00:00:00Z",
      instances: [{ id: "shop-n1-abc", node_name: "n1", host_id: "h1", state: "available" }],
    },
  ],
};

test("a list is a table for people and the body itself as JSON", async () => {
  const server = serve(() => Response.json(databases));
  const asTable = await pgherd(server, ["db", "list"]);
  expect(asTable.status).toBe(0);
  expect(asTable.out).toBe(
    "NAME  STATE      INSTANCES        CREATED\nshop  available  n1@h1:available  2026-01-01T00:00:00Z\n",
  );
  expect(JSON.parse((await pgherd(server, ["db", "list", "-o", "json"])).out)).toEqual(databases);
});

test.each([
  [400, "invalid_input", 2],
  [401, "invalid_join_token", 5],
  [404, "not_found", 3],
  [409, "database_not_modifiable", 8],
  [500, "server_error", 1],
  [503, "no_quorum", 7],
])("HTTP %p (%s) ends with exit status %p", async (status, name, exit) => {
  const server = serve(() => Response.json({ name, message: "because" }, { status }));
  const ran = await pgherd(server, ["db", "get", "shop"]);
  expect(ran.status).toBe(exit);
  expect(ran.err).toContain(`${name}: because`);
  expect(ran.out).toBe("");
});

test("no server answers: exit status 4 and what to do", async () => {
  const ran = await pgherd("http://127.0.0.1:1", ["db", "list"]);
  expect(ran.status).toBe(4);
  expect(ran.err).toContain("pgherd server run");
});

test("servers are named before the command, with commas or one by one", async () => {
  const server = serve(() => Response.json(databases));
  const gone = "http://127.0.0.1:1";
  for (const named of [
    ["--server", server],
    ["-s", `${gone},${server}`],
    ["-s", gone, "-s", server],
  ]) {
    const ran = await pgherd("", [...named, "db", "list", "-o", "name"]);
    expect([ran.status, ran.out]).toEqual([0, "shop\n"]);
  }
});

test("a read goes to the next server when the first does not answer", async () => {
  const server = serve(() => Response.json(databases));
  const ran = await pgherd(`http://127.0.0.1:1,${server}`, ["db", "list", "-o", "name"]);
  expect(ran).toMatchObject({ status: 0, out: "shop\n" });
});

test("unknown commands and options are usage errors", async () => {
  expect((await pgherd("", ["db", "frobnicate"])).status).toBe(2);
  expect((await pgherd("", ["db", "list", "--frob"])).status).toBe(2);
  expect((await pgherd("", ["db", "list", "-o", "xml"])).status).toBe(2);
});

test("waiting shows the log, goes on after a broken stream and ends with the task", async () => {
  let streams = 0;
  const server = serve((request, url) => {
    if (request.method === "POST") return Response.json({ task, database: {} });
    if (!url.pathname.endsWith("/log"))
      return Response.json({ ...task, status: streams < 2 ? "running" : "completed" });
    streams++;
    const entry = {
      timestamp: "2026-01-01T00:00:00Z",
      message: `entry ${streams}`,
      fields: { duration_ms: 7 },
    };
    const event = `event: entry\nid: e${streams}\ndata: ${JSON.stringify(entry)}\n\n`;
    if (streams === 1) return new Response(event);
    expect(url.searchParams.get("after_entry_id")).toBe("e1");
    return new Response(
      `: heartbeat\n\n${event}event: end\nid: e2\ndata: {"status":"completed"}\n\n`,
    );
  });
  const ran = await pgherd(server, ["db", "create", "-f", "shop.yaml", "--wait"], {
    "shop.yaml": "id: shop\nspec: {}\n",
  });
  expect(ran.status).toBe(0);
  expect(ran.err).toBe(
    "2026-01-01T00:00:00Z  entry 1 (7 ms)\n2026-01-01T00:00:00Z  entry 2 (7 ms)\ntask t1 completed\n",
  );
});

test("a failed task is exit status 9 with its error", async () => {
  const server = serve((request, url) => {
    if (request.method === "POST") return Response.json({ task });
    if (url.pathname.endsWith("/log"))
      return new Response('event: end\nid: e1\ndata: {"status":"failed"}\n\n');
    return Response.json({ ...task, status: "failed", error: "no space left" });
  });
  const ran = await pgherd(server, ["db", "create", "-f", "-", "--wait"], { "-": "{}" });
  expect(ran.status).toBe(9);
  expect(ran.err).toContain("no space left");
});

test("apply creates what does not exist and updates what does", async () => {
  const seen: string[] = [];
  let there = false;
  const server = serve(async (request, url) => {
    if (request.method === "GET")
      return there
        ? Response.json({ id: "shop" })
        : Response.json({ name: "not_found", message: "no" }, { status: 404 });
    seen.push(`${url.pathname} ${JSON.stringify(await request.json())}`);
    there = true;
    return Response.json({ task });
  });
  const files = { "f.yaml": "id: shop\nspec: {database_name: shop}\n" };
  await pgherd(server, ["db", "apply", "-f", "f.yaml"], files);
  await pgherd(server, ["db", "apply", "-f", "f.yaml"], files);
  expect(seen).toEqual([
    '/v1/databases {"id":"shop","spec":{"database_name":"shop"}}',
    '/v1/databases/shop {"spec":{"database_name":"shop"}}',
  ]);
});

test("delete wants the name typed, or --yes", async () => {
  const seen: string[] = [];
  const server = serve((request) => {
    seen.push(request.method);
    return Response.json({ task });
  });
  expect((await pgherd(server, ["db", "delete", "shop"])).status).toBe(2);
  expect(
    (
      await pgherd(
        server,
        ["db", "delete", "shop"],
        {},
        { inIsTty: true, prompt: async () => "other" },
      )
    ).status,
  ).toBe(1);
  expect(seen).toEqual([]);
  expect((await pgherd(server, ["db", "delete", "shop", "--yes"])).status).toBe(0);
  expect(seen).toEqual(["DELETE"]);
});

test("url names the primaries, the owner, and never a password", async () => {
  const instance = (port: number, node: string) => ({
    node_name: node,
    connection_info: { addresses: ["10.0.0.1"], port },
  });
  const body = {
    id: "shop",
    spec: { database_name: "my shop", database_users: [{ username: "admin", db_owner: true }] },
    instances: [instance(5001, "n1"), instance(5002, "n2")],
  };
  const server = serve(() => Response.json(body));
  expect((await pgherd(server, ["db", "url", "shop", "-n", "n1"])).out).toBe(
    "postgresql://admin@10.0.0.1:5001/my%20shop\n",
  );
  expect((await pgherd(server, ["db", "url", "shop"])).out).toBe(
    "postgresql://admin@10.0.0.1:5001,10.0.0.1:5002/my%20shop?target_session_attrs=read-write\n",
  );
});

test("contexts name servers", async () => {
  const server = serve(() => Response.json(databases));
  const path = "/home/user/.config/pgherd/config.yaml";
  const { files } = await pgherd("", ["context", "set", "lab", server]);
  const text = files.get(path) ?? "";
  expect((await pgherd("", ["db", "list", "-o", "name"], { [path]: text })).out).toBe("shop\n");
  expect((await pgherd("", ["db", "list", "--context", "other"], { [path]: text })).status).toBe(2);
  expect((await pgherd("", ["db", "list"], { [path]: "contexts: {}\ntypo: 1\n" })).err).toContain(
    "/typo",
  );
});

test("completion offers verbs and options", async () => {
  expect((await pgherd("", ["__complete", "db", "cr"])).out).toBe("create\n");
  expect((await pgherd("", ["__complete", "ta"])).out).toBe("task\n");
  const server = serve(() => Response.json(databases));
  expect((await pgherd(server, ["__complete", "db", "get", "sh"])).out).toBe("shop\n");
  expect((await pgherd(server, ["__complete", "instance", "stop", ""])).out).toBe("shop-n1-abc\n");
  expect((await pgherd("http://127.0.0.1:1", ["__complete", "db", "get", ""])).out).toBe("");
  expect((await pgherd("", ["completion", "bash"])).out).toContain("complete -F _pgherd pgherd");
});
