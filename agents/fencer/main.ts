// `pgherd fencer --file <keeper.json>`: the parent of postgres. Starts it, sees it end, ends it when its
// deadline passes. Ending the fencer does not end postgres: the next fencer adopts it.
// `--stop` ends postgres cleanly instead (or kills it when --timeout-s is over), for an ordered shutdown.
import { lchownSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { systemBootClock } from "../../src/base/boot-clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, inContext, messageOf } from "../../src/base/errors.ts";
import { createLogger, type Logger, LogLevels } from "../../src/base/log.ts";
import { accountByName, ownUid } from "../../src/host/account.ts";
import { connectFencer } from "./client.ts";
import { Fencer } from "./fencer.ts";
import { openKernel } from "./kernel.ts";
import { Listener } from "./listener.ts";
import { isRecord, parseObject } from "./protocol.ts";

/** Postgres was left running: a service manager must start the fencer again and not count this as a stop. */
export const exitLeftRunning = 75;
const exitFailed = 1;
const exitUsage = 2;
const exitAnotherRuns = 3;
const stopTimeoutS = 240;

/** Runs the subcommand to its end and returns the exit status. */
export async function runFencer(argv: readonly string[]): Promise<number> {
  const log = createLogger(
    {
      clock: systemClock,
      levels: new LogLevels("info"),
      write: (line) => process.stdout.write(`${line}\n`),
    },
    "fencer",
  );
  const args = parseArguments(argv);
  if (typeof args === "string") {
    log.error(args);
    return exitUsage;
  }
  try {
    const places = loadPlaces(args.file);
    return args.stop ? await stop(places, args.timeoutMs, log) : await serve(places, log);
  } catch (error) {
    log.error("the fencer failed", { error: messageOf(error) });
    return exitFailed;
  }
}

/** What the fencer needs of the keeper file. */
interface Places {
  readonly instanceId: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly socket: string;
  readonly postgresUser: string | null;
}

async function serve(places: Places, log: Logger): Promise<number> {
  const ended = terminationSignal();
  makeRunDirectories(places);
  const kernel = openKernel();
  if (!kernel.lock(`${places.socket}.lock`)) {
    log.error("another fencer runs for this instance", { instanceId: places.instanceId });
    return exitAnotherRuns;
  }
  kernel.becomeSubreaper();
  const listener = new Listener(log);
  const fencer = createFencer(places, kernel, listener, log);
  process.on("SIGCHLD", () => fencer.reap());
  await fencer.adopt();
  await listener.listen(places.socket, fencer);
  log.info("ready", { instanceId: places.instanceId, postgresRuns: fencer.running });
  await ended;
  listener.close();
  log.info("ends", { postgresRuns: fencer.running });
  return fencer.running ? exitLeftRunning : 0;
}

/** Asks the running fencer; without one, stops what runs by itself. */
async function stop(places: Places, timeoutMs: number, log: Logger): Promise<number> {
  const controller = new AbortController();
  try {
    const client = await connectFencer(places.socket, controller.signal);
    const outcome = await client.stop("fast", timeoutMs);
    if (!outcome.ok && outcome.error.refusal !== "not_running") {
      throw new AppError("terminal", outcome.error.message);
    }
    return outcome.ok && outcome.value.remaining > 0 ? exitFailed : 0;
  } catch (error) {
    if (!(error instanceof AppError) || error.kind !== "retryable") throw error;
    log.warn("no fencer answers; stopping without one", { error: messageOf(error) });
  } finally {
    controller.abort();
  }
  makeRunDirectories(places);
  const kernel = openKernel();
  const fencer = createFencer(places, kernel, new Listener(log), log);
  const outcome = await fencer.stop("fast", timeoutMs);
  return outcome.ok && outcome.value.remaining > 0 ? exitFailed : 0;
}

function createFencer(
  places: Places,
  kernel: ReturnType<typeof openKernel>,
  listener: Listener,
  log: Logger,
): Fencer {
  const { postgresUser } = places;
  return new Fencer({
    clock: systemClock,
    boot: systemBootClock(),
    kernel,
    log,
    territory: {
      dataDir: places.dataDir,
      uid: postgresUser === null ? ownUid() : accountByName(postgresUser).uid,
      ancestorPid: process.pid,
    },
    postgresUser,
    deadlineFile: `${places.socket}.deadline`,
    emit: (event) => listener.broadcast(event),
  });
}

/** The runtime directory is empty after a boot. Sockets in it are for local users, whom pg_hba.conf judges. */
function makeRunDirectories(places: Places): void {
  mkdirSync(dirname(places.socket), { recursive: true, mode: 0o755 });
  mkdirSync(places.runDir, { recursive: true, mode: 0o755 });
  giveTo(places.runDir, places.postgresUser);
}

function giveTo(path: string, user: string | null): void {
  if (user === null || ownUid() !== 0) return;
  const { uid, gid } = accountByName(user);
  lchownSync(path, uid, gid);
}

function terminationSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
    // A terminal that goes away, or a log rotation, is no reason to end.
    process.on("SIGHUP", () => undefined);
  });
}

function parseArguments(
  argv: readonly string[],
): { file: string; stop: boolean; timeoutMs: number } | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        file: { type: "string" },
        stop: { type: "boolean" },
        "timeout-s": { type: "string" },
      },
    });
    if (values.file === undefined) return "usage: pgherd fencer --file FILE [--stop]";
    const seconds = Number(values["timeout-s"] ?? stopTimeoutS);
    if (!(seconds >= 0)) return "--timeout-s must be a number of seconds";
    return { file: values.file, stop: values.stop === true, timeoutMs: seconds * 1_000 };
  } catch (error) {
    if (error instanceof TypeError) return messageOf(error);
    throw error;
  }
}

function loadPlaces(file: string): Places {
  try {
    const keeper = parseObject(readFileSync(file, "utf8"));
    const layout = isRecord(keeper?.layout) ? keeper.layout : {};
    const text = (value: unknown, name: string) => {
      if (typeof value === "string" && value !== "") return value;
      throw new AppError("terminal", `${name} is missing`);
    };
    return {
      instanceId: text(keeper?.instance_id, "instance_id"),
      dataDir: text(layout.data_dir, "layout.data_dir"),
      runDir: text(layout.run_dir, "layout.run_dir"),
      socket: text(layout.fencer_socket, "layout.fencer_socket"),
      postgresUser: typeof keeper?.postgres_user === "string" ? keeper.postgres_user : null,
    };
  } catch (error) {
    throw inContext(`keeper file ${file}`, error);
  }
}
