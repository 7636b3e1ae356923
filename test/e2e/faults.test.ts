// Kills of every process at random moments: tasks end, data stays, PostgreSQL does not notice the control plane.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Body, connect, eventually, query, Sandbox, spec } from "./harness.ts";

const password = "s3cret-pass";
const rounds = Number(process.env.PGHERD_FAULT_ROUNDS ?? 6);
const secondsMax = 120_000 + rounds * 10_000;
const seed = Number(process.env.PGHERD_SEED ?? Date.now() % 100_000);

/** Repeatable from the printed seed. */
function random(index: number): number {
  const x = Math.sin(seed * 9301 + index * 49_297) * 233_280;
  return x - Math.floor(x);
}

let sandbox: Sandbox;
beforeAll(async () => {
  console.log(`seed ${seed}: PGHERD_SEED=${seed} repeats these moments`);
  sandbox = await Sandbox.initialised();
}, secondsMax);
afterAll(() => sandbox.destroy(), secondsMax);

const get = async (id: string): Promise<Body> => (await sandbox.get(`/v1/databases/${id}`)).body;

async function killAndRestart(): Promise<void> {
  await sandbox.killServer();
  await sandbox.startServer();
  await sandbox.ready();
}

test(
  "kill -9 of the server at random moments of create: the task completes, the scripts ran once",
  async () => {
    for (let round = 0; round < rounds; round++) {
      const id = `create${round}`;
      const answer = await sandbox.post("/v1/databases", {
        id,
        spec: spec({
          scripts: {
            post_database_create: [
              "CREATE TABLE made (n int)",
              "INSERT INTO made VALUES (1)",
              "GRANT SELECT ON made TO admin",
            ],
          },
        }),
      });
      expect(answer.status).toBe(200);
      await Bun.sleep(random(round) * 1_600);
      await killAndRestart();
      const task = await sandbox.finished(answer.body.task);
      expect({ round, status: task.status, error: task.error }).toEqual({
        round,
        status: "completed",
        error: undefined,
      });
      const database = await get(id);
      expect(database.state).toBe("available");
      expect(
        await query(
          database.instances[0],
          "admin",
          password,
          "shop",
          "SELECT count(*)::int FROM made",
        ),
      ).toEqual([[1]]);
      const answerDelete = await sandbox.request("DELETE", `/v1/databases/${id}`);
      expect((await sandbox.finished(answerDelete.body.task)).status).toBe("completed");
      expect(sandbox.processes(`${id}-n1-`)).toEqual([]);
    }
  },
  secondsMax,
);

test(
  "kill -9 of the server at random moments of update: an open connection never fails because of it",
  async () => {
    await sandbox.create("steady", spec());
    const client = await connect((await get("steady")).instances[0], "admin", password, "shop");
    let queries = 0;
    let failure: unknown;
    let going = true;
    const load = (async () => {
      while (going) {
        await client.query("SELECT 1");
        queries++;
        await Bun.sleep(5);
      }
    })().catch((thrown) => {
      failure = thrown;
    });
    for (let round = 0; round < rounds; round++) {
      const answer = await sandbox.post("/v1/databases/steady", {
        spec: spec({
          postgresql_conf: {
            max_connections: 50,
            shared_buffers: "32MB",
            work_mem: `${round + 5}MB`,
          },
        }),
      });
      expect(answer.status).toBe(200);
      await Bun.sleep(random(100 + round) * 250);
      await killAndRestart();
      const task = await sandbox.finished(answer.body.task);
      expect({ round, status: task.status, error: task.error }).toEqual({
        round,
        status: "completed",
        error: undefined,
      });
      const shown = await client.query("SELECT current_setting('work_mem') AS work_mem");
      expect(shown.rows).toEqual([{ work_mem: `${round + 5}MB` }]);
    }
    going = false;
    await load;
    expect(failure).toBeUndefined();
    expect(queries).toBeGreaterThan(rounds);
    await client.end();
  },
  secondsMax,
);

test(
  "PostgreSQL serves while the server is down, and the server finds everything again",
  async () => {
    const client = await connect((await get("steady")).instances[0], "admin", password, "shop");
    expect(await sandbox.stopServer()).toBe(0);
    expect((await client.query("SELECT 42 AS n")).rows).toEqual([{ n: 42 }]);
    await sandbox.startServer();
    await sandbox.ready();
    await eventually("the instance is seen as available", async () =>
      (await get("steady")).instances[0].state === "available" ? true : undefined,
    );
    expect((await client.query("SELECT 43 AS n")).rows).toEqual([{ n: 43 }]);
    await client.end();
  },
  secondsMax,
);

test(
  "kill -9 of the keeper or the fencer leaves PostgreSQL untouched; both come back",
  async () => {
    const client = await connect((await get("steady")).instances[0], "admin", password, "shop");
    for (const role of ["keeper", "fencer"]) {
      const [victim] = sandbox.processes(`${role} --file`);
      expect(victim).toBeDefined();
      if (!victim) continue;
      process.kill(victim.pid, "SIGKILL");
      expect((await client.query("SELECT 1 AS n")).rows).toEqual([{ n: 1 }]);
      await eventually(`a new ${role} runs`, () =>
        sandbox.processes(`${role} --file`).find(({ pid }) => pid !== victim.pid),
      );
      expect((await client.query("SELECT 2 AS n")).rows).toEqual([{ n: 2 }]);
    }
    await client.end();
    await sandbox.update(
      "steady",
      spec({ postgresql_conf: { max_connections: 55, shared_buffers: "32MB" } }),
    );
    expect(
      await query(
        (await get("steady")).instances[0],
        "admin",
        password,
        "shop",
        "SHOW max_connections",
      ),
    ).toEqual([["55"]]);
  },
  secondsMax,
);

test(
  "kill -9 of the postmaster: it comes back by itself with its data",
  async () => {
    const instance = (await get("steady")).instances[0];
    await query(instance, "admin", password, "shop", "CREATE TABLE kept AS SELECT 7 AS n");
    const postmaster = sandbox
      .processes("bin/postgres")
      .find(({ command }) => command.includes(" -D "));
    expect(postmaster).toBeDefined();
    if (postmaster) process.kill(postmaster.pid, "SIGKILL");
    const rows = await eventually("PostgreSQL answers again", () =>
      query(instance, "admin", password, "shop", "SELECT n FROM kept").catch(() => undefined),
    );
    expect(rows).toEqual([[7]]);
    await eventually("the instance is available again", async () =>
      (await get("steady")).instances[0].state === "available" ? true : undefined,
    );
  },
  secondsMax,
);

test(
  "kill -9 of rqlited: it is started again, nothing acknowledged is lost",
  async () => {
    // While it reads its log again, its tables are not there yet, or as they were long ago.
    const seen: unknown[] = [];
    for (let round = 0; round < rounds; round++) {
      const [rqlited] = sandbox.processes("rqlited-");
      expect(rqlited).toBeDefined();
      if (rqlited) process.kill(rqlited.pid, "SIGKILL");
      await eventually(
        "the API answers again",
        async () => {
          const answer = await sandbox.get("/v1/databases/steady").catch(() => undefined);
          const restarted = sandbox.processes("rqlited-").some(({ pid }) => pid !== rqlited?.pid);
          if (answer && answer.status < 500) {
            seen.push(answer.body.spec?.postgresql_conf.max_connections ?? answer.status);
          }
          return answer?.status === 200 && restarted ? true : undefined;
        },
        30_000,
      );
    }
    expect(new Set(seen)).toEqual(new Set([55]));
    await sandbox.update("steady", spec());
  },
  secondsMax,
);

test(
  "cancel: the task is canceled, the database failed, and an update mends it",
  async () => {
    const answer = await sandbox.post("/v1/databases", { id: "canceled", spec: spec() });
    const { task_id: taskId } = answer.body.task;
    await Bun.sleep(150);
    const cancel = await sandbox.post(`/v1/databases/canceled/tasks/${taskId}/cancel`);
    expect(cancel.status).toBe(200);
    expect(["canceling", "canceled"]).toContain(cancel.body.status);
    expect((await sandbox.finished(answer.body.task)).status).toBe("canceled");
    expect((await get("canceled")).state).toBe("failed");
    const mended = await sandbox.update("canceled", spec());
    expect(mended.state).toBe("available");
    expect(await query(mended.instances[0], "admin", password, "shop", "SELECT 1")).toEqual([[1]]);
  },
  secondsMax,
);
