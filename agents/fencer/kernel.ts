// The few kernel calls that Bun does not offer, through the C library: prctl(2), waitpid(2), flock(2).
import { dlopen } from "bun:ffi";
import { closeSync, constants, openSync } from "node:fs";
import { AppError } from "../../src/base/errors.ts";
import { isLive, listProcesses } from "../../src/host/process.ts";

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const LOCK_EX_NB = 2 | 4;

export interface Kernel {
  /** Orphans of this process's descendants become its children, so that none escapes. */
  becomeSubreaper(): void;
  /** Collects dead children that were not spawned by this process itself; `own` is left to its spawner. */
  reapForeign(own: number | undefined): void;
  /** Takes a lock that ends with this process; undefined when another holds it. Returns what releases it. */
  lock(path: string): (() => void) | undefined;
}

/** Loads the calls; throws a terminal AppError where there is no GNU C library. */
export function openKernel(): Kernel {
  const { symbols } = dlopen("libc.so.6", {
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
    flock: { args: ["i32", "i32"], returns: "i32" },
  });
  return {
    becomeSubreaper() {
      if (symbols.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n) !== 0) {
        throw new AppError("terminal", "the kernel refuses PR_SET_CHILD_SUBREAPER");
      }
    },
    reapForeign(own) {
      for (const entry of listProcesses()) {
        if (entry.parentPid !== process.pid || entry.pid === own || isLive(entry)) continue;
        symbols.waitpid(entry.pid, null, WNOHANG);
      }
    },
    lock(path) {
      const flags = constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW;
      const handle = openSync(path, flags, 0o600);
      if (symbols.flock(handle, LOCK_EX_NB) === 0) return () => closeSync(handle);
      closeSync(handle);
      return undefined;
    },
  };
}
