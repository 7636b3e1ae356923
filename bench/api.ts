// GET of one database and of all of them under load, with 10, 100 and 1,000 databases in the store.
// One database is real; the others are copies of its rows, so that the answers have their real size.
// The floor is GET /v1/version of the same server: HTTP without the store.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { systemRng } from "../src/base/rng.ts";
import { Secret } from "../src/base/secret.ts";
import { createRqlite } from "../src/store/rqlite.ts";
import { Sandbox, spec } from "../test/e2e/harness.ts";
import { ms, percentile } from "./figures.ts";

const clients = Number(process.env.CLIENTS ?? 2);
const requests = Number(process.env.REQUESTS ?? 400);
const listP99MsMax = 50;
const id = "bench";

/** Copies the rows of the real database until there are `count` databases. */
async function fill(sandbox: Sandbox, from: number, count: number): Promise<void> {
  const directory = join(sandbox.directory, "data/rqlited");
  const state: { http: { host: string; port: number } } = JSON.parse(
    readFileSync(join(directory, "state.json"), "utf8"),
  );
  const users: { username: string; password: string }[] = JSON.parse(
    readFileSync(join(directory, "auth.json"), "utf8"),
  );
  const user = users.find(({ username }) => username === "pgherd");
  const rqlite = createRqlite({
    urls: [`http://${state.http.host}:${state.http.port}`],
    username: "pgherd",
    password: new Secret(user?.password ?? ""),
    clock: systemClock,
    rng: systemRng,
  });
  const numbers = `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;
  const name = `'${id}-' || n.i`;
  const copied = (column: string) => `replace(${column}, '${id}-n1', ${name} || '-n1')`;
  const copies = [
    {
      table: "databases",
      where: `id = '${id}'`,
      changed: { id: name },
      kept: "tenant_id, generation, state, was_available, spec, created_at_ms, updated_at_ms",
    },
    {
      table: "instances",
      where: `database_id = '${id}'`,
      changed: { id: copied("id"), database_id: name, config: copied("config") },
      kept: "node_name, host_id, state, error, port, addresses, generation, created_at_ms, updated_at_ms",
    },
    {
      table: "instance_reports",
      where: `instance_id LIKE '${id}-n1-%'`,
      changed: { instance_id: copied("instance_id"), report: copied("report") },
      kept: "updated_at_ms",
    },
  ];
  const statements = copies.map(
    ({ table, where, changed, kept }) =>
      `INSERT INTO ${table} (${Object.keys(changed).join(", ")}, ${kept}) ${numbers} SELECT ${Object.values(changed).join(", ")}, ${kept} FROM ${table}, n WHERE ${where}`,
  );
  // As every commit does.
  statements.push("UPDATE changes SET version = version + 1 WHERE singleton = 1");
  for (const sql of statements)
    await rqlite.request([{ sql, params: [] }], { timeoutMs: 20_000, deadlineMs: 20_000 });
}

/** Milliseconds of each of `requests` requests, `clients` at a time; every answer must be 200. */
async function load(sandbox: Sandbox, path: string): Promise<number[]> {
  const samples: number[] = [];
  const client = async () => {
    for (let n = 0; n < requests / clients; n++) {
      const startMs = performance.now();
      const response = await fetch(`http://127.0.0.1:${sandbox.port}${path}`);
      await response.arrayBuffer();
      samples.push(performance.now() - startMs);
      if (response.status !== 200) throw new Error(`${path}: ${response.status}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return samples;
}

const sandbox = await Sandbox.initialised();
try {
  await sandbox.create(id, spec());
  await load(sandbox, "/v1/version");
  const floorMs = percentile(await load(sandbox, "/v1/version"), 0.5);
  console.log(
    `${clients} clients, ${requests} requests each; floor (GET /v1/version) p50 ${ms(floorMs)}`,
  );
  console.log("databases  GET one p50 / p99 (x floor)     list p50 / p99");
  let have = 1;
  for (const count of [10, 100, 1_000]) {
    await fill(sandbox, have, count);
    have = count;
    await load(sandbox, "/v1/databases");
    const one = await load(sandbox, `/v1/databases/${id}`);
    const list = await load(sandbox, "/v1/databases");
    const { body } = await sandbox.get("/v1/databases");
    if (body.databases.length !== count)
      throw new Error(`${body.databases.length} of ${count} databases`);
    const [oneP50, oneP99, listP50, listP99] = [
      percentile(one, 0.5),
      percentile(one, 0.99),
      percentile(list, 0.5),
      percentile(list, 0.99),
    ];
    console.log(
      `${String(count).padStart(9)}  ${ms(oneP50)} / ${ms(oneP99)} (${(oneP50 / floorMs).toFixed(1)})  ${ms(listP50)} / ${ms(listP99)}`,
    );
    if (count === 1_000)
      console.log(
        `list of 1,000 p99 at most ${listP99MsMax} ms: ${listP99 <= listP99MsMax ? "yes" : "NO"}`,
      );
  }
} finally {
  await sandbox.destroy();
}
