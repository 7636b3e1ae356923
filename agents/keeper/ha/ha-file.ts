// What a keeper must not forget about its group when it is restarted: the newest lease that it saw, its vote, its
// promise, and what was tried. One small file beside the data, written before anybody hears of what is in it.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { Attempts } from "../../../src/ha/observed.ts";
import type { FailsafePromise, Vote } from "../../../src/ha/state.ts";
import type { Executor } from "../../../src/host/executor.ts";
import type { KeeperFile } from "../../../src/spec/instance-config.ts";
import type { Newest } from "./lease-watch.ts";

/** Content of the file. Times of the boot clock are void under another boot. */
interface Stored {
  readonly boot_id: string;
  readonly newest: Newest | null;
  readonly vote: Vote | null;
  readonly promise: FailsafePromise | null;
  readonly attempts: Attempts;
}

export const noAttempts: Attempts = {
  failedPromotions: [],
  crashesAtMs: [],
  rejoin: { rewinds: 0, clones: 0, retryAtMs: 0, error: "" },
};

export interface HaFileDeps {
  readonly executor: Executor;
  readonly boot: BootClock;
  readonly file: KeeperFile;
}

export class HaFile {
  readonly #deps: HaFileDeps;
  #stored: Stored;
  #writing: Promise<void> = Promise.resolve();

  private constructor(deps: HaFileDeps, stored: Stored) {
    this.#deps = deps;
    this.#stored = stored;
  }

  /** Reads what an earlier keeper left. */
  static async open(deps: HaFileDeps): Promise<HaFile> {
    const bytes = await deps.executor.get(pathOf(deps.file));
    const bootId = deps.boot.bootId();
    const empty = { boot_id: bootId, newest: null, vote: null, promise: null };
    if (!bytes) return new HaFile(deps, { ...empty, attempts: noAttempts });
    const stored: Stored = JSON.parse(new TextDecoder().decode(bytes));
    const sameBoot = stored.boot_id === bootId;
    return new HaFile(deps, {
      ...stored,
      boot_id: bootId,
      promise: sameBoot ? stored.promise : null,
      attempts: sameBoot ? stored.attempts : noAttempts,
    });
  }

  get newest(): Newest | undefined {
    return this.#stored.newest ?? undefined;
  }

  get vote(): Vote | null {
    return this.#stored.vote;
  }

  get promise(): FailsafePromise | null {
    return this.#stored.promise;
  }

  get attempts(): Attempts {
    return this.#stored.attempts;
  }

  /** Resolves when it is on disk. */
  save(change: Partial<Omit<Stored, "boot_id">>): Promise<void> {
    this.#stored = { ...this.#stored, ...change };
    const text = JSON.stringify(this.#stored);
    const write = () => this.#deps.executor.put(pathOf(this.#deps.file), text, { mode: 0o600 });
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }
}

function pathOf(file: KeeperFile): string {
  return `${file.layout.base_dir}/pgherd-ha.json`;
}
