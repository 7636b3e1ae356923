// Names, passwords and values that nobody expects; many clients at once; and where secrets end up.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { type Answer, type Body, eventually, query, Sandbox, spec } from "./harness.ts";

const secondsMax = 120_000;
const password = "s3cret-pass";

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.initialised();
}, secondsMax);
afterAll(() => sandbox.destroy(), secondsMax);

const users = [
  ["Upper Case", `a"b'c;--\\`],
  [`a"b'c;--`, " "],
  ["ünïcode 日本語 😀", "日本語 😀"],
  ["with\\backslash", "%&$#@!^*(){}[]|:<>?/~`+="],
  ["x".repeat(63), "x".repeat(500)],
  ["select", "SCRAM-SHA-256"],
  ["$1 %s", "md5abc"],
  ["admin,other", "tab\tand \u0007 bell"],
  ["@file", "soft\u00adhyphen"],
  ["+group", "\u2168 becomes IX"],
  ["/regex", "no-break\u00a0space"],
  ["all", "decomposed e\u0301"],
  ["-dash", "\u0627\u0031 is prohibited"],
  [" space ", "\u0221 is unassigned"],
] as const;

test(
  "every name and every password logs in, with values as given",
  async () => {
    const name = `a"b'c;-- \\ Ü x`;
    const odd = `q'uo\\te"d # $x ü`;
    const database = await sandbox.create(
      "odd",
      spec({
        database_name: name,
        database_users: [
          { username: "admin", password, db_owner: true, attributes: ["LOGIN"] },
          ...users.map(([username, secret]) => ({
            username,
            password: secret,
            attributes: ["LOGIN"],
          })),
        ],
        postgresql_conf: { max_connections: 50, shared_buffers: "32MB", "my.value": odd },
        pg_hba_conf: [`host "${"x y"}" "Upper Case" 127.0.0.1/32 reject # comment "`],
      }),
    );
    const [instance] = database.instances;
    const text = "SELECT current_user::text, current_database()::text, current_setting('my.value')";
    for (const [username, secret] of users) {
      expect(await query(instance, username, secret, name, text)).toEqual([[username, name, odd]]);
      const psql = Bun.spawnSync(["psql", "-XAtc", "SELECT 1"], {
        env: {
          PATH: process.env.PATH ?? "",
          PGHOST: instance.connection_info.addresses[0],
          PGPORT: String(instance.connection_info.port),
          PGUSER: username,
          PGPASSWORD: secret,
          PGDATABASE: name,
        },
      });
      expect({ username, error: psql.stderr.toString() }).toEqual({ username, error: "" });
    }
  },
  secondsMax,
);

test(
  "a failing script fails the task with its statement, and an update with better ones mends it",
  async () => {
    const scripts = (statements: readonly string[]) => ({
      scripts: { post_database_create: statements },
    });
    const first = ["CREATE TABLE a (n int)", "INSERT INTO nowhere VALUES (1)"];
    const answer = await sandbox.post("/v1/databases", {
      id: "script",
      spec: spec(scripts(first)),
    });
    const task = await sandbox.finished(answer.body.task);
    expect(task.status).toBe("failed");
    expect(task.error).toContain("statement 2");
    expect(task.error).toContain("nowhere");
    const better = ["CREATE TABLE a AS SELECT 1 AS n", "GRANT SELECT ON a TO admin"];
    const { instances } = await sandbox.update("script", spec(scripts(better)));
    expect(await query(instances[0], "admin", password, "shop", "SELECT n FROM a")).toEqual([[1]]);
  },
  secondsMax,
);

test(
  "eight clients at once on one database: one wins, the others are told why, and it is never stuck",
  async () => {
    const [instance] = (await sandbox.create("race", spec())).instances;
    const path = "/v1/databases/race";
    const change = (client: number): Promise<Answer> => {
      if (client % 4 === 0) return sandbox.request("DELETE", path);
      if (client % 4 === 1) return sandbox.post(`${path}/instances/${instance.id}/restart`, {});
      const postgresql_conf = { max_connections: 50, work_mem: `${5 + client}MB` };
      return sandbox.post(path, { spec: spec({ postgresql_conf }) });
    };
    for (let round = 0; round < 3; round++) {
      // Delete comes last in the order of the clients, so that the database lives on most of the time.
      const clients = Array.from({ length: 8 }, (_, index) => 7 - index + round);
      const answers = await Promise.all(clients.map(change));
      const names = answers.map(({ status, body }) => (status === 200 ? "won" : body.name));
      expect(names.filter((name) => name === "won")).toHaveLength(1);
      // One who asks for a restart may also hear what the winner has begun to do to the instance.
      const other = answers.filter(
        ({ status, body }) =>
          ![200, 409].includes(status) && !/ is (modifying|deleting); /.test(body.message),
      );
      expect(other.map(({ body }) => body)).toEqual([]);
      const won: Body = answers.find(({ status }) => status === 200)?.body.task;
      const cancel = `${path}/tasks/${won.task_id}/cancel`;
      const cancels = await Promise.all([1, 2, 3, 4].map(() => sandbox.post(cancel)));
      expect(cancels.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
      const { type, status, error } = await sandbox.finished(won);
      const end = status === "canceled" ? "canceled" : "completed";
      expect({ type, status, error: end === "canceled" ? undefined : error }).toEqual({
        type,
        status: end,
        error: undefined,
      });
      if ((await sandbox.get(path)).status === 404) await sandbox.create("race", spec());
      else expect((await sandbox.update("race", spec())).state).toBe("available");
    }
  },
  secondsMax,
);

test(
  "passwords and keys are nowhere in clear text: files, process lists, environments, logs, answers",
  async () => {
    const secret = "Zq7-never-in-clear";
    const seen = new Set<string>();
    let watching = true;
    const watch = (async () => {
      while (watching) {
        for (const { pid, command } of sandbox.processes()) {
          if (command.includes(secret)) seen.add(`command line of ${pid}`);
          if (environmentOf(pid).includes(secret)) seen.add(`environment of ${pid}`);
        }
        await Bun.sleep(5);
      }
    })();
    const owner = { username: "admin", password: secret, db_owner: true, attributes: ["LOGIN"] };
    const make = (overrides: Body) =>
      spec({
        database_users: [owner],
        postgresql_conf: { max_connections: 50, log_statement: "all", log_min_messages: "debug1" },
        ...overrides,
      });
    await sandbox.create("secret", make({}));
    const changed = { ...owner, password: `${secret}-2` };
    await sandbox.update("secret", make({ database_users: [changed] }));
    const refused = { ...changed, password: `${secret}-3`, roles: ["no such role"] };
    const answer = await sandbox.post("/v1/databases/secret", {
      spec: make({ database_users: [refused] }),
    });
    const failed = await sandbox.finished(answer.body.task);
    expect(failed.status).toBe("failed");
    watching = false;
    await watch;
    expect([...seen]).toEqual([]);
    const shown = [await sandbox.get("/v1/databases/secret"), await sandbox.get("/v1/tasks")];
    expect(JSON.stringify([shown, failed])).not.toContain(secret);
    expect(await sandbox.taskLog(failed)).not.toMatch(/SCRAM-SHA-256\$|PRIVATE KEY/);
    expect(filesWith(secret)).toEqual([]);
    const keys = filesWith("BEGIN [A-Z ]*PRIVATE KEY");
    expect(keys.length).toBeGreaterThan(0);
    // An instance's own keys, and the host's.
    const places = /\/certificates\/postgres\/[a-z]+\.key$|\/data\/certificates\/host\.key$/;
    for (const path of keys) {
      expect(path).toMatch(places);
      expect(statSync(path).mode & 0o077).toBe(0);
    }
    // Directories above keep others out too; these must not depend on it, except what rqlite writes itself.
    expect(find("data/rqlited", "-maxdepth", "0", "-perm", "0700")).toHaveLength(1);
    const open = ["-perm", "/o+rwx", "(", "-name", "*.key", "-o", "-name", "*.json", ")"];
    expect(find("data", ...open, "-not", "-path", "*/rqlited/data/*")).toEqual([]);
    expect(find("pg", ...open)).toEqual([]);
    expect(find(".", "-perm", "/o+w", "-not", "-type", "l", "-not", "-type", "s")).toEqual([]);
  },
  secondsMax,
);

test(
  "ten databases created at once",
  async () => {
    const ids = Array.from({ length: 10 }, (_, index) => `many${index}`);
    const created = await Promise.all(
      ids.map((id) => sandbox.post("/v1/databases", { id, spec: spec() })),
    );
    expect(created.map(({ status }) => status)).toEqual(ids.map(() => 200));
    const tasks = await Promise.all(created.map(({ body }) => sandbox.finished(body.task)));
    expect(tasks.map(({ status }) => status)).toEqual(ids.map(() => "completed"));
    const { databases } = (await sandbox.get("/v1/databases")).body;
    const many = databases.filter(({ id }: Body) => id.startsWith("many"));
    const ports = many.map(({ instances }: Body) => instances[0].connection_info.port);
    expect(new Set(ports).size).toBe(10);
    const gone = await Promise.all(
      ids.map((id) => sandbox.request("DELETE", `/v1/databases/${id}`)),
    );
    await Promise.all(gone.map(({ body }) => sandbox.finished(body.task)));
    await eventually("nothing of them runs", () =>
      sandbox.processes("many").length === 0 ? true : undefined,
    );
    expect(find(".", "-name", "many*")).toEqual([]);
  },
  secondsMax,
);

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch (thrown) {
    // It ended, or is someone else's.
    if (thrown instanceof Error && "code" in thrown) return "";
    throw thrown;
  }
}

/** Paths of files in which the pattern occurs. */
function filesWith(pattern: string): string[] {
  expect(readdirSync(sandbox.directory)).toContain("data");
  return lines(["grep", "-rlaE", pattern, sandbox.directory]);
}

function find(where: string, ...what: string[]): string[] {
  return lines(["find", `${sandbox.directory}/${where}`, ...what]);
}

function lines(argv: string[]): string[] {
  return Bun.spawnSync(argv).stdout.toString().split("\n").filter(Boolean);
}
