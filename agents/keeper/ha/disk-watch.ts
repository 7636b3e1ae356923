// Whether the volume of the data has room, and whether it takes writes at all. A full volume is no reason to move on by
// itself: the others may be as full.
import { open, rm, statfs } from "node:fs/promises";
import type { Clock } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import { diskCheckIntervalMs, diskFullBytes, diskStallMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { LocalView } from "../../../src/ha/observed.ts";
import { hasCode } from "../../../src/host/process.ts";

export interface DiskWatchDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** A directory on the volume of the data. */
  readonly directory: string;
  readonly onChange: () => void;
}

type DiskState = LocalView["disk"];

export class DiskWatch {
  readonly #deps: DiskWatchDeps;
  #state: DiskState = "ok";
  /** Monotonic time at which the write that is under way began. */
  #writingSinceMs: number | undefined;

  constructor(deps: DiskWatchDeps) {
    this.#deps = deps;
  }

  /** A write that hangs shows at once, also while it hangs. */
  get state(): DiskState {
    const since = this.#writingSinceMs;
    if (since !== undefined && this.#deps.clock.monotonicMs() - since > diskStallMs) {
      return "stalled";
    }
    return this.#state;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, onChange } = this.#deps;
    while (!signal.aborted) {
      const before = this.#state;
      this.#state = await this.#check();
      if (this.#state !== before) {
        log.warn("the disk of the data changed", { disk: this.#state });
        onChange();
      }
      await clock.sleep(diskCheckIntervalMs, signal).catch(() => undefined);
    }
  }

  async #check(): Promise<DiskState> {
    const { directory, log, clock } = this.#deps;
    try {
      const { bavail, blocks, bsize } = await statfs(directory);
      const free = bavail * bsize;
      this.#writingSinceMs = clock.monotonicMs();
      await writeProbe(`${directory}/.pgherd-disk`);
      if (free < diskFullBytes) return "full";
      return free < Math.min(blocks * bsize * 0.03, 16 * diskFullBytes) ? "low" : "ok";
    } catch (error) {
      if (hasCode(error, "ENOSPC", "EDQUOT")) return "full";
      if (hasCode(error, "EROFS", "EIO")) return "stalled";
      log.debug("the disk cannot be looked at", { error: messageOf(error) });
      return this.#state;
    } finally {
      this.#writingSinceMs = undefined;
    }
  }
}

/** One block, with fsync. */
async function writeProbe(path: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.write(Buffer.alloc(4_096, 1));
    await file.sync();
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}
