// Create-database against the floor: initdb, start and the same SQL by hand, alternating in one run.
// The floor takes the configuration files and the statements that pgherd made: only the control plane differs.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { initdbArgv } from "../src/postgres/commands.ts";
import { builtInRoleStatements } from "../src/postgres/sql/built-in-roles.ts";
import { freePort, installations, Sandbox, spec } from "../test/e2e/harness.ts";
import { median, ms } from "./figures.ts";

const rounds = Number(process.env.ROUNDS ?? 7);
const ratioMax = 1.3;
const withClients = installations().filter(({ binDir }) => readdirSync(binDir).includes("psql"));
const { major, binDir } = withClients[0] ?? { major: 0, binDir: "" };
if (major === 0) throw new Error("the floor needs a PostgreSQL with psql");

const asPostgres =
  process.getuid?.() === 0
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    : [];

function byHand(argv: readonly string[], input = ""): void {
  const [program = "", ...rest] = [...asPostgres, ...argv];
  execFileSync(program, rest, { input, stdio: ["pipe", "ignore", "inherit"], cwd: "/" });
}

/** Everything that a person would do, with the files of an instance that pgherd made. */
async function floor(sandbox: Sandbox, instanceDir: string, round: number): Promise<number> {
  const base = join(sandbox.directory, `floor${round}`);
  const data = join(base, "data");
  cpSync(join(instanceDir, "configs"), join(base, "configs"), { recursive: true });
  cpSync(join(instanceDir, "certificates"), join(base, "certificates"), { recursive: true });
  for (const part of ["run", "log"]) mkdirSync(join(base, part));
  const file = join(base, "configs/postgresql.conf");
  const port = await freePort();
  const text = readFileSync(file, "utf8")
    .replaceAll(instanceDir, base)
    .replace(/^unix_socket_directories = .*$/m, `unix_socket_directories = '${base}/run'`)
    .replace(/^port = .*$/m, `port = ${port}`);
  writeFileSync(file, text);
  if (asPostgres.length > 0) execFileSync("chown", ["-R", "postgres:", base]);
  const connection = [
    "-XqAt",
    "-v",
    "ON_ERROR_STOP=1",
    "-h",
    join(base, "run"),
    "-p",
    String(port),
    "-U",
    "pgedge",
  ];
  const roles = [
    ...builtInRoleStatements([], major),
    "CREATE ROLE admin LOGIN CREATEDB PASSWORD 's3cret-pass'",
  ];
  const startMs = performance.now();
  byHand(initdbArgv({ binDir, dataDir: data, superuser: "pgedge", major }));
  byHand([
    `${binDir}/pg_ctl`,
    "-D",
    data,
    "-w",
    "-s",
    "-l",
    join(base, "pg_ctl.log"),
    "-o",
    `-c config_file=${file}`,
    "start",
  ]);
  byHand(
    [`${binDir}/psql`, ...connection, "postgres"],
    `BEGIN;${roles.join(";")};COMMIT;CREATE DATABASE shop OWNER admin;`,
  );
  byHand(
    [`${binDir}/psql`, ...connection, "shop"],
    "GRANT ALL ON SCHEMA public TO pgedge_superuser; SELECT 1;",
  );
  const tookMs = performance.now() - startMs;
  byHand([`${binDir}/pg_ctl`, "-D", data, "-w", "-s", "-m", "immediate", "stop"]);
  rmSync(base, { recursive: true });
  return tookMs;
}

async function create(sandbox: Sandbox, id: string, version: string): Promise<number> {
  const startMs = performance.now();
  const { body, status } = await sandbox.post("/v1/databases", {
    id,
    spec: spec({ postgres_version: version }),
  });
  if (status !== 200) throw new Error(JSON.stringify(body));
  for (;;) {
    const task = (await sandbox.get(`/v1/databases/${id}/tasks/${body.task.task_id}`)).body;
    if (task.status === "completed") return performance.now() - startMs;
    if (task.status === "failed") throw new Error(task.error);
    await Bun.sleep(5);
  }
}

const sandbox = await Sandbox.initialised();
try {
  const { hosts } = (await sandbox.get("/v1/hosts")).body;
  const version = hosts[0].supported_pgedge_versions
    .map((each: { postgres_version: string }) => each.postgres_version)
    .find((each: string) => each.startsWith(`${major}.`));
  const parent = join(sandbox.directory, "pg", String(major));
  const [creates, floors]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    const createMs = await create(sandbox, `bench${round}`, version);
    if (round === 1 && process.env.VERBOSE) {
      const [task] = (await sandbox.get(`/v1/databases/bench${round}/tasks`)).body.tasks;
      console.log(await sandbox.taskLog(task));
    }
    const [instance = ""] = readdirSync(parent);
    const floorMs = await floor(sandbox, join(parent, instance), round);
    await sandbox
      .request("DELETE", `/v1/databases/bench${round}`)
      .then(({ body }) => sandbox.finished(body.task));
    // The first round warms caches up.
    if (round === 0) continue;
    creates.push(createMs);
    floors.push(floorMs);
    console.log(`round ${round}: create ${ms(createMs)}, floor ${ms(floorMs)}`);
  }
  const ratio = median(creates) / median(floors);
  console.log(
    `PostgreSQL ${version}: create ${ms(median(creates))}, floor ${ms(median(floors))}, ratio ${ratio.toFixed(2)} (at most ${ratioMax}: ${ratio <= ratioMax ? "yes" : "NO"})`,
  );
} finally {
  await sandbox.destroy();
}
