// `pgherd fencer --file <keeper.json>`: the parent of postgres. Starts it, sees it end, ends it when its
// deadline passes. Ending the fencer does not end postgres: the next fencer adopts it.
// `--stop` ends postgres cleanly instead (or kills it when --timeout-s is over), for an ordered shutdown;
// `--kill` ends it at once. Both succeed only when no process of the instance is left.
import { chmodSync, lchownSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { systemBootClock } from "../../src/base/boot-clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { AppError, inContext, messageOf } from "../../src/base/errors.ts";
import { createLogger, type Logger, LogLevels } from "../../src/base/log.ts";
import type { Result } from "../../src/base/result.ts";
import { accountByName, ownUid } from "../../src/host/account.ts";
import { keepRealtime } from "../../src/host/realtime.ts";
import { connectFencer, type FencerRefusal } from "./client.ts";
import { Fencer } from "./fencer.ts";
import { openKernel } from "./kernel.ts";
import { Listener } from "./listener.ts";
import { isRecord, type KillProof, parseObject, type StopOutcome } from "./protocol.ts";
import { reportToServiceManager } from "./readiness.ts";

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
    if (args.end === undefined) return await serve(places, log);
    const proof = await endPostgres(places, args.end, log);
    log.info("no longer runs", { instanceId: places.instanceId, ...proof });
    return proof.remaining === 0 ? 0 : exitFailed;
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
  const serving = new AbortController();
  void keepRealtime({ clock: systemClock, log, afterMs: 0 }, serving.signal);
  // Not this environment: PostgreSQL is started with one of its own.
  const { NOTIFY_SOCKET, WATCHDOG_USEC } = process.env;
  const told = { NOTIFY_SOCKET, WATCHDOG_USEC };
  reportToServiceManager(told, systemClock, serving.signal).catch((error) =>
    log.error("the service manager is not told that the fencer runs", { error: messageOf(error) }),
  );
  await ended;
  serving.abort();
  listener.close();
  log.info("ends", { postgresRuns: fencer.running });
  return fencer.running ? exitLeftRunning : 0;
}

/** How to end postgres: cleanly within a time, or at once. */
type End = { readonly mode: "stop"; readonly timeoutMs: number } | { readonly mode: "kill" };

/** Asks the running fencer; without one, ends what runs by itself. */
async function endPostgres(places: Places, end: End, log: Logger): Promise<KillProof> {
  const controller = new AbortController();
  try {
    const client = await connectFencer(places.socket, controller.signal);
    if (end.mode === "kill") return await client.kill();
    return proofOf(await client.stop("fast", end.timeoutMs));
  } catch (error) {
    if (!(error instanceof AppError) || error.kind !== "retryable") throw error;
    log.info("no fencer answers; postgres is ended without one", { error: messageOf(error) });
  } finally {
    controller.abort();
  }
  makeRunDirectories(places);
  const fencer = createFencer(places, openKernel(), new Listener(log), log);
  if (end.mode === "kill") return fencer.kill();
  return proofOf(await fencer.stop("fast", end.timeoutMs));
}

function proofOf(outcome: Result<StopOutcome, FencerRefusal>): KillProof {
  if (outcome.ok) return outcome.value;
  if (outcome.error.refusal === "not_running") return { killed: 0, remaining: 0 };
  throw new AppError("terminal", outcome.error.message);
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
  for (const path of [dirname(places.socket), places.runDir]) {
    // The mode does not depend on the umask, which is that of the server when it ends an instance.
    if (mkdirSync(path, { recursive: true }) !== undefined) chmodSync(path, 0o755);
  }
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

function parseArguments(argv: readonly string[]): { file: string; end: End | undefined } | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        file: { type: "string" },
        stop: { type: "boolean" },
        kill: { type: "boolean" },
        "timeout-s": { type: "string" },
      },
    });
    if (values.file === undefined) return "usage: pgherd fencer --file FILE [--stop | --kill]";
    const seconds = Number(values["timeout-s"] ?? stopTimeoutS);
    if (!(seconds >= 0)) return "--timeout-s must be a number of seconds";
    const stop = values.stop ? { mode: "stop" as const, timeoutMs: seconds * 1_000 } : undefined;
    return { file: values.file, end: values.kill ? { mode: "kill" } : stop };
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
