// The state of one fencer: the postmaster it started or adopted, the deadline, the last exit. Carries out
// requests; knows neither sockets nor leases. At most one postmaster at a time.
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import type { BootClock } from "../../src/base/boot-clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import { messageOf } from "../../src/base/errors.ts";
import type { Logger } from "../../src/base/log.ts";
import { fail, ok, type Result } from "../../src/base/result.ts";
import { asUser } from "../../src/host/account.ts";
import {
  hasCode,
  identify,
  isAlive,
  type ProcessIdentity,
  signalProcess,
} from "../../src/host/process.ts";
import type { FencerRefusal } from "./client.ts";
import { Deadline } from "./deadline.ts";
import { removeForeignLock } from "./foreign-lock.ts";
import type { Kernel } from "./kernel.ts";
import { killAll } from "./kill-ladder.ts";
import type {
  Fenced,
  FencerEvent,
  FencerStatus,
  KillProof,
  PostgresExit,
  StartPostgres,
  StopMode,
  StopOutcome,
} from "./protocol.ts";
import { backendsAmong, membersOf, postmasterAmong, type Territory } from "./territory.ts";

/** How often an adopted postmaster is looked at: it is not our child, so nobody tells us of its end. */
const adoptedLookIntervalMs = 50;

const STOP_SIGNALS = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const;

interface Postmaster {
  readonly identity: ProcessIdentity;
  readonly adopted: boolean;
  stopping: boolean;
  /** Resolves when it has ended and nothing of it is left. */
  readonly ended: Promise<PostgresExit>;
}

export interface FencerDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly kernel: Kernel;
  readonly log: Logger;
  readonly territory: Territory;
  readonly postgresUser: string | null;
  readonly deadlineFile: string;
  readonly emit: (event: FencerEvent) => void;
}

export class Fencer {
  readonly #deps: FencerDeps;
  readonly #deadline: Deadline;
  #postmaster: Postmaster | undefined;
  /** Ladders that run; nothing is started meanwhile. */
  #killing = 0;
  #lastExit: PostgresExit | null = null;
  #lastFenced: Fenced | null = null;

  constructor(deps: FencerDeps) {
    this.#deps = deps;
    this.#deadline = new Deadline({
      clock: deps.clock,
      boot: deps.boot,
      file: deps.deadlineFile,
      onPassed: (epoch) => void this.#fence(epoch),
    });
  }

  /** Takes over a running postmaster; ends what a dead one left behind. */
  async adopt(): Promise<void> {
    if (this.#postmaster) return;
    const members = membersOf(this.#deps.territory);
    const found = postmasterAmong(members);
    const identity = found && identify(found.pid);
    if (identity) {
      this.#deps.log.info("adopted a running postmaster", { pid: identity.pid });
      this.#track(identity, true, async () => this.#watchAdopted(identity));
    } else if (backendsAmong(members).length > 0) {
      this.#deps.log.warn("backends without a postmaster are ended", { count: members.length });
      await this.kill();
    }
  }

  async start(request: StartPostgres): Promise<Result<{ readonly pid: number }, FencerRefusal>> {
    await this.adopt();
    const running = this.#postmaster;
    if (running) {
      const message = `postgres runs as process ${running.identity.pid}`;
      return fail({ refusal: "already_running", message, pid: running.identity.pid });
    }
    if (this.#killing > 0) return fail({ refusal: "busy", message: "processes are being killed" });
    if (request.epoch !== undefined && !this.#isArmedFor(request.epoch)) {
      const message = `not armed with epoch ${request.epoch}, or its deadline has passed`;
      return fail({ refusal: "stale_epoch", message });
    }
    if (backendsAmong(membersOf(this.#deps.territory)).length > 0) {
      return fail({
        refusal: "leftover",
        message: "backends without a postmaster cannot be ended",
      });
    }
    const stranger = removeForeignLock(this.#deps.territory);
    if (stranger !== undefined) {
      this.#deps.log.warn("removed a lock file whose number is another process's now", {
        pid: stranger,
      });
    }
    return this.#spawn(request);
  }

  #isArmedFor(epoch: number): boolean {
    const { armed } = this.#deadline;
    return armed?.epoch === epoch && armed.deadlineMs > this.#deps.boot.bootMs();
  }

  status(): FencerStatus {
    const postmaster = this.#postmaster;
    const armed = this.#deadline.armed;
    return {
      fencer_pid: process.pid,
      boottime_ms: this.#deps.boot.bootMs(),
      postgres: postmaster
        ? {
            state: postmaster.stopping ? "stopping" : "running",
            pid: postmaster.identity.pid,
            adopted: postmaster.adopted,
          }
        : { state: "stopped" },
      armed: armed ? { epoch: armed.epoch, deadline_boottime_ms: armed.deadlineMs } : null,
      last_exit: this.#lastExit,
      last_fenced: this.#lastFenced,
    };
  }

  /** Asks the postmaster to stop (manual, "Shutting Down the Server"); kills everything when time is over. */
  async stop(mode: StopMode, timeoutMs: number): Promise<Result<StopOutcome, FencerRefusal>> {
    await this.adopt();
    const postmaster = this.#postmaster;
    if (!postmaster) return fail({ refusal: "not_running", message: "postgres does not run" });
    postmaster.stopping = true;
    signalProcess(postmaster.identity, STOP_SIGNALS[mode]);
    const over = new AbortController();
    const limit = this.#deps.clock.sleep(timeoutMs, over.signal).then(
      () => null,
      () => null,
    );
    const exit = await Promise.race([postmaster.ended, limit]);
    over.abort();
    if (exit) {
      return ok({ forced: false, killed: exit.leftovers_killed, remaining: exit.remaining });
    }
    this.#deps.log.warn("postgres did not stop in time and is killed", { mode, timeoutMs });
    return ok({ forced: true, ...(await this.kill()) });
  }

  /** Ends every process of the instance. `remaining: 0` is proof that none is left. */
  async kill(): Promise<KillProof> {
    this.#killing += 1;
    try {
      const proof = await killAll(this.#deps.territory, {
        clock: this.#deps.clock,
        reap: () => this.reap(),
      });
      if (proof.remaining === 0) await this.#postmaster?.ended;
      return proof;
    } finally {
      this.#killing -= 1;
    }
  }

  arm(epoch: number, deadlineMs: number): Result<null, FencerRefusal> {
    if (this.#deadline.arm(epoch, deadlineMs)) return ok(null);
    return fail({ refusal: "stale_epoch", message: `epoch ${epoch} is older than the last` });
  }

  disarm(): void {
    this.#deadline.disarm();
  }

  /** Collects orphans that died. Called whenever a child ended. */
  reap(): void {
    const postmaster = this.#postmaster;
    const own = postmaster && !postmaster.adopted ? postmaster.identity.pid : undefined;
    this.#deps.kernel.reapForeign(own);
  }

  get running(): boolean {
    return this.#postmaster !== undefined;
  }

  #spawn(request: StartPostgres): Result<{ readonly pid: number }, FencerRefusal> {
    let output: number | undefined;
    try {
      output = openLog(request.log_file);
      const child = Bun.spawn([...asUser(request.argv, this.#deps.postgresUser)], {
        cwd: "/",
        env: { ...outOfMemoryEnvironment(), ...request.env },
        stdin: "ignore",
        stdout: output,
        stderr: output,
        // Its own session: a signal meant for the fencer's group must not reach postgres.
        detached: true,
      });
      const identity = identify(child.pid);
      if (!identity) return fail({ refusal: "spawn_failed", message: "it ended at once" });
      this.#deps.log.info("started postgres", { pid: child.pid });
      this.#track(identity, false, async () => {
        await child.exited;
        return child.signalCode === null
          ? { code: child.exitCode, signal: null }
          : { code: null, signal: String(child.signalCode) };
      });
      return ok({ pid: child.pid });
    } catch (error) {
      return fail({ refusal: "spawn_failed", message: messageOf(error) });
    } finally {
      if (output !== undefined) closeSync(output);
    }
  }

  #track(
    identity: ProcessIdentity,
    adopted: boolean,
    wait: () => Promise<Pick<PostgresExit, "code" | "signal">>,
  ): void {
    const ended = wait().then((how) => this.#finish(identity.pid, how));
    this.#postmaster = { identity, adopted, stopping: false, ended };
  }

  /** Orphaned backends have no right to go on: they are ended before anyone hears of the exit. */
  async #finish(pid: number, how: Pick<PostgresExit, "code" | "signal">): Promise<PostgresExit> {
    const atMs = this.#deps.boot.bootMs();
    const { killed, remaining } = await killAll(this.#deps.territory, {
      clock: this.#deps.clock,
      reap: () => this.reap(),
    });
    const exit = { pid, ...how, at_boottime_ms: atMs, leftovers_killed: killed, remaining };
    this.#postmaster = undefined;
    this.#lastExit = exit;
    this.#deps.log.info("postgres ended", exit);
    this.#deps.emit({ event: "exited", ...exit });
    return exit;
  }

  async #watchAdopted(identity: ProcessIdentity): Promise<{ code: null; signal: null }> {
    while (isAlive(identity)) await this.#deps.clock.sleep(adoptedLookIntervalMs);
    return { code: null, signal: null };
  }

  /** Does not give up: a process that hangs in the kernel is killed again until it is gone. */
  async #fence(epoch: number): Promise<void> {
    this.#deps.log.warn("the deadline passed: everything is killed", { epoch });
    let proof: KillProof;
    do {
      proof = await this.kill();
      const fenced: Fenced = { epoch, at_boottime_ms: this.#deps.boot.bootMs(), ...proof };
      this.#lastFenced = fenced;
      this.#deps.log.warn("fenced", { ...fenced });
      this.#deps.emit({ event: "fenced", ...fenced });
    } while (proof.remaining > 0);
  }
}

/** The directory belongs to PostgreSQL's user, who must not lead us to another file. */
function openLog(path: string): number {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = openSync(path, flags | constants.O_NONBLOCK, 0o640);
  if (fstatSync(handle).isFile()) return handle;
  closeSync(handle);
  throw new Error(`${path} is not a file`);
}

/** Where the fencer itself is protected, backends must not inherit that (manual, "Linux Memory Overcommit"). */
function outOfMemoryEnvironment(): Record<string, string> {
  try {
    if (Number(readFileSync("/proc/self/oom_score_adj", "utf8")) >= 0) return {};
  } catch (error) {
    if (!hasCode(error, "ENOENT", "EACCES")) throw error;
    return {};
  }
  return { PG_OOM_ADJUST_FILE: "/proc/self/oom_score_adj", PG_OOM_ADJUST_VALUE: "0" };
}
