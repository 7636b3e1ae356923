// Real-time priority for what has to act in time while other programs keep all processors busy: a lease that is not
// renewed ends PostgreSQL, one that is not ended in time is worse, and ordinary programs may wait for seconds there,
// whatever their weight or nice value is. Corosync and sbd do the same for the same reason. See sched(7).
import { dlopen, ptr } from "bun:ffi";
import { readdirSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { realtimeCheckMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { hasCode } from "./process.ts";

const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x40000000;
/** The lowest: it comes before every ordinary program, and after whatever else the host's owner made real-time. */
const priority = 1;

/** Who else gets it: `alike` = threads and processes that it starts, `ordinary` = none of them. */
export type Descendants = "alike" | "ordinary";

/**
 * Gives every thread that the process has now SCHED_RR at its lowest priority. Answers whether all have it, read back
 * from the kernel, which may refuse: without CAP_SYS_NICE or RLIMIT_RTPRIO, and in control groups without real-time
 * budget. True when the process is gone.
 */
export function makeRealtime(pid: number, descendants: Descendants): boolean {
  const { symbols } = openScheduler();
  const policy = descendants === "alike" ? SCHED_RR : SCHED_RR | SCHED_RESET_ON_FORK;
  const parameters = new Int32Array([priority]);
  return threadsOf(pid).every((thread) => {
    if (symbols.sched_getscheduler(thread) === policy) return true;
    symbols.sched_setscheduler(thread, policy, ptr(parameters));
    const got = symbols.sched_getscheduler(thread);
    return got === policy || got < 0;
  });
}

export interface RealtimeDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Not before: where many programs start at once they would leave nothing to others meanwhile. */
  readonly afterMs: number;
}

/**
 * Keeps this process at real-time priority, also the threads that it starts later, until the signal aborts. Programs
 * that it starts are ordinary ones. Says once, and whenever it changes, whether the kernel agrees.
 */
export async function keepRealtime(deps: RealtimeDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, afterMs } = deps;
  let agreed: boolean | undefined;
  await clock.sleep(afterMs, signal).catch(() => undefined);
  while (!signal.aborted) {
    const agrees = makeRealtime(process.pid, "ordinary");
    if (agrees !== agreed) {
      const refused =
        "the kernel refuses real-time priority: a busy host may keep this program waiting";
      log.info(agrees ? "runs at real-time priority" : refused);
      agreed = agrees;
    }
    await clock.sleep(realtimeCheckMs, signal).catch(() => undefined);
  }
}

let scheduler: ReturnType<typeof loadScheduler> | undefined;

function openScheduler() {
  scheduler ??= loadScheduler();
  return scheduler;
}

function loadScheduler() {
  return dlopen("libc.so.6", {
    sched_getscheduler: { args: ["i32"], returns: "i32" },
    sched_setscheduler: { args: ["i32", "i32", "ptr"], returns: "i32" },
  });
}

function threadsOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
