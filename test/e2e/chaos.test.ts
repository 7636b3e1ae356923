// Up to three processes at once die at random moments of create, update and delete, the server sometimes twice: every
// task ends as if nothing had happened, and nothing is left of what was deleted.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Answer, type Body, eventually, query, Sandbox, spec } from "./harness.ts";

const password = "s3cret-pass";
const rounds = Number(process.env.PGHERD_FAULT_ROUNDS ?? 3);
const seed = Number(process.env.PGHERD_SEED ?? Date.now() % 100_000);
const secondsMax = 60_000 + rounds * 40_000;
const KINDS = ["server", "keeper", "fencer", "postgres", "rqlited"] as const;

/** Repeatable from the printed seed. */
let drawn = 0;
function random(): number {
  drawn += 1;
  const x = Math.sin(seed * 9301 + drawn * 49_297) * 233_280;
  return x - Math.floor(x);
}

let sandbox: Sandbox;
beforeAll(async () => {
  console.log(`seed ${seed}: PGHERD_SEED=${seed} repeats these moments`);
  sandbox = await Sandbox.initialised();
}, secondsMax);
afterAll(() => sandbox.destroy(), secondsMax);

function victims(kind: (typeof KINDS)[number], id: string) {
  const own = sandbox.processes(`${id}-n1-`);
  switch (kind) {
    case "server":
      return [];
    case "rqlited":
      return sandbox.processes("/bin/rqlited-");
    case "postgres":
      return own.filter(({ command }) => /bin\/(postgres|initdb) /.test(command));
    default:
      return own.filter(({ command }) => command.includes(` ${kind} --file`));
  }
}

/** Kills one to three kinds of processes; says which. */
async function strike(id: string): Promise<string> {
  const left = [...KINDS];
  const struck = Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
    left.splice(Math.floor(random() * left.length), 1),
  ).flat();
  const twice = random() < 0.4;
  for (const kind of struck) {
    for (const { pid } of victims(kind, id)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (thrown) {
        if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ESRCH")) throw thrown;
      }
    }
  }
  if (!struck.includes("server")) return struck.join("+");
  for (let times = twice ? 2 : 1; times > 0; times--) {
    await sandbox.killServer();
    await sandbox.startServer();
  }
  return `${struck.join("+")}${twice ? " twice" : ""}`;
}

/** A request that is sent until the store is back to take it. */
async function accepted(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await eventually(
    `${method} ${path} is answered`,
    async () => {
      const given = await sandbox.request(method, path, body).catch(() => undefined);
      return given && given.status < 500 ? given : undefined;
    },
    60_000,
  );
  expect({ path, status: answer.status, message: answer.body.message }).toEqual({
    path,
    status: 200,
    message: undefined,
  });
  return answer;
}

async function disturbed(answer: Answer, id: string, maxMs: number): Promise<void> {
  const afterMs = Math.round(random() * maxMs);
  await Bun.sleep(afterMs);
  const struck = await strike(id);
  const { type, status, error } = await sandbox.finished(answer.body.task);
  expect({ type, afterMs, struck, status, error }).toEqual({
    type,
    afterMs,
    struck,
    status: "completed",
    error: undefined,
  });
}

const get = async (id: string): Promise<Body> => (await sandbox.get(`/v1/databases/${id}`)).body;

/** PostgreSQL may be on its way back after the last blow. */
const sql = (instance: Body, text: string) =>
  eventually(text, () => query(instance, "admin", password, "shop", text).catch(() => undefined));

test(
  "whatever dies, and whenever: tasks complete, the result is as undisturbed, delete leaves nothing",
  async () => {
    for (let round = 0; round < rounds; round++) {
      const id = `chaos${round}`;
      const scripts = {
        post_init: ["CREATE ROLE from_script NOLOGIN"],
        post_database_create: [
          "CREATE TABLE made (n int)",
          "INSERT INTO made VALUES (1)",
          "GRANT SELECT ON made TO admin",
        ],
      };
      const create = { id, spec: spec({ scripts }) };
      await disturbed(await accepted("POST", "/v1/databases", create), id, 1_800);
      const [instance] = (await get(id)).instances;
      expect(await sql(instance, "SELECT count(*)::int FROM made")).toEqual([[1]]);
      const connections = round % 2 === 0 ? 61 : 50;
      const update = {
        spec: spec({
          scripts,
          postgresql_conf: {
            max_connections: connections,
            shared_buffers: "32MB",
            work_mem: "9MB",
          },
        }),
      };
      await disturbed(await accepted("POST", `/v1/databases/${id}`, update), id, 700);
      expect(
        await sql(
          instance,
          "SELECT current_setting('work_mem'), current_setting('max_connections'), (SELECT count(*)::int FROM made)",
        ),
      ).toEqual([["9MB", String(connections), 1]]);
      await eventually("the instance is seen as available", async () => {
        const answer = await sandbox.get(`/v1/databases/${id}`);
        return answer.body.instances?.[0]?.state === "available" ? true : undefined;
      });
      await disturbed(await accepted("DELETE", `/v1/databases/${id}`), id, 700);
      expect(sandbox.processes(`${id}-n1-`)).toEqual([]);
      const found = Bun.spawnSync(["find", sandbox.directory, "-name", `*${id}-n1-*`]);
      expect(found.stdout.toString()).toBe("");
      const sockets = readFileSync("/proc/net/unix", "utf8");
      expect(sockets).not.toContain(`${sandbox.directory}/run/${id}-n1-`);
    }
  },
  secondsMax,
);
