// Asks for a new connection, again and again: an existing session goes on working under a postmaster that is stopped
// (SIGSTOP) or cannot fork, so only a new one proves that PostgreSQL serves.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Clock } from "../../../src/base/clock.ts";
import {
  freshProbeAgainMs,
  freshProbeIntervalMs,
  freshProbeTimeoutMs,
} from "../../../src/base/limits.ts";
import { readProcess } from "../../../src/host/process.ts";
import { superuserName } from "../../../src/postgres/hba.ts";

/** answers: of whatever content, the postmaster forked. silent: nothing came. refused: nobody listens. */
export type ProbeOutcome = "answers" | "silent" | "refused";

/** The startup packet of protocol 3.0 (manual 55.7, StartupMessage). */
function startupPacket(): Buffer {
  const pairs = ["user", superuserName, "database", "postgres", "application_name", "pgherd probe"];
  const body = Buffer.from(`${pairs.map((text) => `${text}\0`).join("")}\0`, "latin1");
  const head = Buffer.alloc(8);
  head.writeUInt32BE(head.length + body.length, 0);
  head.writeUInt32BE(196_608, 4);
  return Buffer.concat([head, body]);
}

/** One attempt over the unix socket. Any first byte is an answer: "too many clients" is one, too. */
export function probeOnce(socketPath: string, clock: Clock): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const over = new AbortController();
    let connection: Bun.Socket<undefined> | undefined;
    const settle = (outcome: ProbeOutcome) => {
      if (over.signal.aborted) return;
      over.abort();
      connection?.terminate();
      resolve(outcome);
    };
    const socket: Bun.SocketHandler<undefined> = {
      open(opened) {
        connection = opened;
        if (over.signal.aborted) opened.terminate();
        else opened.write(startupPacket());
      },
      data: () => settle("answers"),
      error: () => settle("refused"),
      close: () => settle("refused"),
    };
    Bun.connect({ unix: socketPath, socket }).catch(() => settle("refused"));
    clock.sleep(freshProbeTimeoutMs, over.signal).then(
      () => settle("silent"),
      () => undefined,
    );
  });
}

export interface FreshProbeDeps {
  readonly clock: Clock;
  readonly boot: BootClock;
  /** undefined while PostgreSQL should not be asked. */
  readonly socketPath: () => string | undefined;
  readonly postmasterPid: () => number | undefined;
  /** For how long an answer is believed. */
  readonly believedMs: () => number;
  readonly onChange: () => void;
}

export class FreshProbe {
  readonly #deps: FreshProbeDeps;
  #failures = 0;
  #failingSinceMs: number | undefined;
  /** Boot clock. */
  #answeredAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: FreshProbeDeps) {
    this.#deps = deps;
  }

  /** Boot clock: since when no new connection got an answer, once that is believed. */
  get hungSinceMs(): number | undefined {
    return this.#failures >= FAILURES_BELIEVED ? this.#failingSinceMs : undefined;
  }

  /** PostgreSQL was started: what was believed of the one before is void. */
  reset(): void {
    this.#failures = 0;
    this.#failingSinceMs = undefined;
    this.#answeredAtMs = Number.NEGATIVE_INFINITY;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      await this.look();
      const pauseMs = this.#failures > 0 ? freshProbeAgainMs : freshProbeIntervalMs;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  /** One look. */
  async look(): Promise<void> {
    const { boot, socketPath, onChange } = this.#deps;
    const path = socketPath();
    if (path === undefined) {
      this.reset();
      return;
    }
    const startedMs = boot.bootMs();
    if ((await this.#attempt(path, startedMs)) === "answers") {
      this.#failures = 0;
      this.#failingSinceMs = undefined;
      return;
    }
    this.#failures += 1;
    this.#failingSinceMs ??= startedMs;
    if (this.#failures === FAILURES_BELIEVED) onChange();
  }

  /** A postmaster that is stopped need not be asked, the kernel says so; nor one that has just answered. */
  async #attempt(path: string, nowMs: number): Promise<ProbeOutcome> {
    const { clock, postmasterPid, believedMs } = this.#deps;
    const pid = postmasterPid();
    if (pid !== undefined && readProcess(pid)?.state === "T") return "silent";
    if (this.#failures === 0 && nowMs - this.#answeredAtMs < believedMs()) return "answers";
    const outcome = await probeOnce(path, clock);
    if (outcome === "answers") this.#answeredAtMs = nowMs;
    return outcome;
  }
}

/** So many attempts in a row; one can be bad luck on a loaded host. */
const FAILURES_BELIEVED = 3;
