// Does what was decided. One action at a time; each can be cut anywhere, because the next look starts over.

import { assertNever, must } from "../../src/base/assert.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import {
  checkpointTimeoutMs,
  crashBackoffFirstMs,
  crashBackoffMaxMs,
  crashForgottenAfterMs,
  keeperStartingPollMs,
  postgresStopTimeoutMs,
  reloadTimeoutMs,
  restartTimeoutMs,
} from "../../src/base/limits.ts";
import { failureText, succeeded } from "../../src/host/command.ts";
import { postgresArgv, reloadArgv } from "../../src/postgres/commands.ts";
import type { PendingRequest } from "../../src/store/ha-store.ts";
import type { PostgresExit } from "../fencer/protocol.ts";
import { bootstrapData } from "./bootstrap.ts";
import {
  applyConfiguration,
  checkConfiguration,
  keepCopies,
  reloadServer,
  restoreCopies,
  writeConfiguration,
} from "./configuration.ts";
import type { Action } from "./decide.ts";
import type { GroupPart } from "./ha/replication-role.ts";
import { type LaneDeps, serveBeside } from "./lane.ts";
import { readFailureLines } from "./log-tail.ts";
import type { Doing, Memory } from "./memory.ts";
import {
  forgetServer,
  type ObserveDeps,
  observe,
  refreshFiles,
  refreshSettings,
  session,
  settle,
} from "./observe.ts";
import { asPostgres } from "./standby/places.ts";

export interface ActDeps extends LaneDeps {
  /** Shows what the keeper is doing to those who ask meanwhile. */
  readonly publish: () => void;
  /** Makes sure, at the last moment, that PostgreSQL may be started, and in which role. Throws when it may not. */
  readonly beforeStart: () => Promise<number | undefined>;
  /** Writes down in memory which files the present configuration asks for. */
  readonly render: () => void;
}

const CRASH_BACKOFF = { firstMs: crashBackoffFirstMs, maxMs: crashBackoffMaxMs };
/** Environment of PostgreSQL: nothing of the keeper's own. */
const POSTGRES_ENV = { LANG: "C.UTF-8", LC_ALL: "C.UTF-8", PATH: "/usr/bin:/bin" };

/** Performs one action. Throws AppError when it could not be done; the loop tries again later. */
export async function perform(
  deps: ActDeps,
  memory: Memory,
  action: Action,
  signal: AbortSignal,
): Promise<void> {
  switch (action.kind) {
    case "none":
      return;
    case "bootstrap":
      return makeData(deps, memory, signal);
    case "write_configuration":
      return write(deps, memory);
    case "restore_configuration":
      return restore(deps, memory, action.error);
    case "apply_configuration":
      return apply(deps, memory);
    case "apply_while_starting":
      return applyWhileStarting(deps, memory);
    case "start":
      return during(deps, memory, "starting", () => start(deps, memory));
    case "stop":
      return during(deps, memory, "stopping", () => stop(deps, memory));
    case "restart":
      await restart(deps, memory, action.request, signal);
      return;
    case "reload":
      return reload(deps, memory);
    case "serve":
      return serveBeside(deps, memory, action.request, signal);
    case "decline":
      return deps.store.answer(action.request.id, {
        ok: false,
        detail: action.why,
        ...(action.notPrimary ? { not_primary: true } : {}),
      });
    default:
      return assertNever(action, "action");
  }
}

/** Remembers that PostgreSQL ended, and whether it did so by itself. Called at once by the fencer's event. */
export async function rememberExit(
  deps: ObserveDeps,
  memory: Memory,
  exit: PostgresExit,
): Promise<void> {
  const nowMs = deps.clock.monotonicMs();
  const { readyAtMs } = memory;
  memory.process = "stopped";
  if (memory.ending) return;
  const stable = readyAtMs !== undefined && nowMs - readyAtMs >= crashForgottenAfterMs;
  const count = stable ? 1 : (memory.crash?.count ?? 0) + 1;
  const how = exit.signal === null ? `with exit status ${exit.code}` : `by ${exit.signal}`;
  const waitMs =
    count === 1 && readyAtMs !== undefined
      ? 0
      : Math.min(CRASH_BACKOFF.firstMs * 2 ** Math.min(count - 1, 10), CRASH_BACKOFF.maxMs);
  const text = `PostgreSQL ended by itself ${exit.code === null && exit.signal === null ? "" : how}`;
  const beforeReady = readyAtMs === undefined;
  const crash = { text: text.trim(), beforeReady, count, retryAtMs: nowMs + waitMs };
  memory.crash = { ...crash, filesSuspected: false };
  const said = await readFailureLines(deps.executor, deps.file.layout.log_dir, {
    pid: exit.pid,
    beforeReady,
  });
  const filesSuspected = beforeReady && mayBlameFiles(exit, said, count);
  memory.crash = {
    ...crash,
    filesSuspected,
    ...(said === "" ? {} : { text: `${crash.text}: ${said}` }),
  };
}

/** How often a start may end by a signal before the files are suspected, e.g. of asking for too much memory. */
const SIGNALLED_STARTS_MAX = 3;

/** Ends of a start that files have nothing to do with: another process is there, or the data cannot be recovered. */
const NOT_BY_FILES =
  /lock file .* already exists|shared memory block .* is still in use|requested timeline \d+|valid checkpoint record/;

/** A kill from outside says nothing about the files either. */
function mayBlameFiles(exit: PostgresExit, said: string, count: number): boolean {
  if (NOT_BY_FILES.test(said)) return false;
  return exit.code !== null || count >= SIGNALLED_STARTS_MAX;
}

/** The files are checked and written while initdb works; a start needs both. */
export async function makeData(deps: ActDeps, memory: Memory, signal: AbortSignal): Promise<void> {
  const config = must(memory.config, "configuration");
  await during(deps, memory, "initializing new cluster", async () => {
    const made = await Promise.allSettled([
      bootstrapData(deps, config, signal),
      write(deps, memory),
    ]);
    memory.initdbFailed = made[0].status === "rejected";
    for (const part of made) if (part.status === "rejected") throw part.reason;
  });
}

async function write(deps: ActDeps, memory: Memory): Promise<void> {
  const config = must(memory.config, "configuration");
  const { wanted } = memory;
  if (!wanted) return;
  const checked = await checkConfiguration(deps, wanted, config.bin_dir);
  if (checked.ok) {
    await writeConfiguration(deps, wanted);
  } else {
    memory.refusal = { generation: config.generation, error: checked.error };
    await restoreCopies(deps, "accepted", wanted);
  }
  await refreshFiles(deps, memory);
}

async function restore(deps: ActDeps, memory: Memory, error: string): Promise<void> {
  const config = must(memory.config, "configuration");
  memory.refusal = { generation: config.generation, error };
  // They are tried at once; when they do not start either, the pause before the next start goes on growing.
  if (memory.crash) memory.crash = { ...memory.crash, filesSuspected: false, retryAtMs: 0 };
  await restoreCopies(deps, "proven", must(memory.wanted, "configuration files"));
  await refreshFiles(deps, memory);
}

async function apply(deps: ActDeps, memory: Memory): Promise<void> {
  const config = must(memory.config, "configuration");
  const texts = must(memory.wanted, "configuration files");
  const proven = memory.part !== undefined && memory.accepted?.generation === config.generation;
  const wanted = { texts, binDir: config.bin_dir, proven };
  await settle(deps, memory);
  const applied = await applyConfiguration(deps, await session(deps, memory), wanted);
  if (!applied.ok) memory.refusal = { generation: config.generation, error: applied.error };
  await refreshFiles(deps, memory);
  if (applied.ok) memory.readWrittenAtMs = memory.onDisk?.writtenAtMs ?? 0;
  await refreshSettings(deps, memory);
  if (applied.ok && memory.pending.length === 0) await keepCopies(deps, "proven", texts);
}

/**
 * A standby that needs log of another before it answers reads whom to follow from its files; there is no session to
 * ask it in. What it made of them is seen once it answers.
 */
async function applyWhileStarting(deps: ActDeps, memory: Memory): Promise<void> {
  const { bin_dir } = must(memory.config, "configuration");
  await write(deps, memory);
  const argv = reloadArgv(bin_dir, deps.file.layout.data_dir);
  const result = await deps.executor.run({
    argv,
    timeoutMs: reloadTimeoutMs,
    ...asPostgres(deps.file),
  });
  if (!succeeded(result)) throw new AppError("retryable", failureText(result));
  memory.readWrittenAtMs = memory.onDisk?.writtenAtMs ?? 0;
}

/** Puts the part into effect under a running server, now. */
export async function applyPart(deps: ActDeps, memory: Memory, part: GroupPart): Promise<void> {
  memory.part = part;
  deps.render();
  await apply(deps, memory);
}

async function reload(deps: ActDeps, memory: Memory): Promise<void> {
  memory.reloadAsked = false;
  await reloadServer(deps.clock, await session(deps, memory));
  memory.readCertificatesAtMs = memory.certificates?.writtenAtMs ?? 0;
  await refreshSettings(deps, memory);
}

async function start(deps: ActDeps, memory: Memory): Promise<void> {
  const config = must(memory.config, "configuration");
  const { file } = deps;
  const { data_dir, config_dir, log_dir, run_dir } = file.layout;
  const owner = file.postgres_user === null ? {} : { owner: file.postgres_user };
  if (!(await deps.executor.stat(run_dir))) {
    await deps.executor.mkdir(run_dir, { mode: 0o755, ...owner });
  }
  const epoch = await deps.beforeStart();
  await forgetServer(memory);
  memory.ending = false;
  const argv = postgresArgv(config.bin_dir, data_dir, `${config_dir}/postgresql.conf`);
  const started = await deps.fencer.required().start({
    argv,
    env: POSTGRES_ENV,
    log_file: `${log_dir}/postgres.log`,
    ...(epoch === undefined ? {} : { epoch }),
  });
  if (started.ok) {
    memory.process = "running";
    memory.readWrittenAtMs = memory.onDisk?.writtenAtMs ?? 0;
    return;
  }
  if (started.error.refusal === "already_running") return;
  if (started.error.refusal === "leftover") await deps.fencer.required().kill();
  throw new AppError("retryable", `PostgreSQL was not started: ${started.error.message}`);
}

/** A checkpoint first, so that the shutdown is short; then fast, and what does not end is killed. */
export async function stop(deps: ActDeps, memory: Memory): Promise<void> {
  memory.ending = true;
  memory.lane?.abort.abort(new AppError("retryable", "PostgreSQL is being stopped"));
  await checkpoint(deps, memory);
  await forgetServer(memory);
  const stopped = await deps.fencer.required().stop("fast", postgresStopTimeoutMs);
  if (!stopped.ok && stopped.error.refusal !== "not_running") {
    throw new AppError("retryable", `PostgreSQL was not stopped: ${stopped.error.message}`);
  }
  if (stopped.ok && stopped.value.remaining > 0) {
    const left = `${stopped.value.remaining} processes of PostgreSQL cannot be ended`;
    throw new AppError("retryable", left);
  }
  memory.process = "stopped";
  memory.crash = undefined;
}

async function checkpoint(deps: ActDeps, memory: Memory): Promise<void> {
  if (!memory.accepting) return;
  try {
    const open = await session(deps, memory);
    await open.query("SET statement_timeout = 0");
    await open.query("CHECKPOINT", [], { deadlineMs: checkpointTimeoutMs });
  } catch (error) {
    deps.log.warn("no checkpoint before the shutdown", { error: messageOf(error) });
  }
}

/** Stops and starts; answers why it did not come back. */
export async function restart(
  deps: ActDeps,
  memory: Memory,
  request: PendingRequest | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const config = must(memory.config, "configuration");
  memory.restartReason = undefined;
  const startedMs = deps.clock.monotonicMs();
  const outcome = await during(deps, memory, "restarting", async () => {
    await stop(deps, memory);
    await start(deps, memory);
    return untilAccepting(deps, memory, signal);
  });
  memory.restartedGeneration = config.generation;
  if (!request) return outcome;
  const tookMs = Math.round(deps.clock.monotonicMs() - startedMs);
  const detail = outcome === undefined ? `restarted in ${tookMs} ms` : outcome;
  deps.store.answer(request.id, { ok: outcome === undefined, detail });
  return outcome;
}

/** Waits until PostgreSQL accepts connections; answers why it does not. */
async function untilAccepting(
  deps: ActDeps,
  memory: Memory,
  signal: AbortSignal,
): Promise<string | undefined> {
  const endMs = deps.clock.monotonicMs() + restartTimeoutMs;
  while (!memory.accepting) {
    if (memory.process === "stopped") return memory.crash?.text ?? "PostgreSQL did not start";
    if (deps.clock.monotonicMs() > endMs) return "PostgreSQL does not accept connections yet";
    await deps.clock.sleep(keeperStartingPollMs, signal);
    await observe(deps, memory);
  }
  return undefined;
}

async function during<T>(
  deps: ActDeps,
  memory: Memory,
  doing: Doing,
  work: () => Promise<T>,
): Promise<T> {
  memory.doing = doing;
  deps.publish();
  try {
    return await work();
  } finally {
    memory.doing = undefined;
  }
}
