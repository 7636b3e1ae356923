// Time since boot, counted also while the machine is suspended, and the name of this boot.
// Deadlines that must survive a process are written in this time; another boot voids them.
import { dlopen, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

/** CLOCK_BOOTTIME (clock_gettime(2)) and the kernel's boot id (random(4)). */
export interface BootClock {
  /** Milliseconds since boot. */
  bootMs(): number;
  /** Another value after every boot. */
  bootId(): string;
}

const CLOCK_BOOTTIME = 7;

/** The machine's own. Falls back to /proc/uptime (10 ms steps) where the C library cannot be loaded. */
export function systemBootClock(): BootClock {
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return { bootMs: nativeBootMs() ?? uptimeMs, bootId: () => bootId };
}

function nativeBootMs(): (() => number) | undefined {
  const library = openClock();
  if (!library) return undefined;
  const timespec = new BigInt64Array(2);
  return () => {
    if (library.symbols.clock_gettime(CLOCK_BOOTTIME, ptr(timespec)) !== 0) return uptimeMs();
    return Number(timespec[0] ?? 0n) * 1_000 + Number(timespec[1] ?? 0n) / 1e6;
  };
}

function openClock() {
  try {
    return dlopen("libc.so.6", { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });
  } catch (error) {
    if (error instanceof Error && /dlopen|open library|shared object/i.test(error.message)) {
      return undefined;
    }
    throw error;
  }
}

function uptimeMs(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000;
}
