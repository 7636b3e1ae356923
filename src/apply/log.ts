// The live log of one task. Entries are batched, readable within taskLogFlushMs, and written by the task's
// worker alone, so that their ids grow in the order of their commits and a follower misses none.
import type { Clock } from "../base/clock.ts";
import { isAbort, messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import { taskLogFlushMs, taskLogMessageCharsMax, taskLogPendingMax } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { Secret } from "../base/secret.ts";
import type { LogEntry } from "../store/task-log.ts";

export type LogFields = Readonly<Record<string, unknown>>;

export interface TaskLogDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** Id of the newest entry of an earlier run of the task. */
  readonly lastEntryId: string | undefined;
  /** Commits entries; throws when they may not have been written. Called by the timer, never concurrently with itself. */
  readonly flush: () => Promise<void>;
}

/** Collects entries. Whoever commits calls `take`, then `confirm` or `restore`. */
export class TaskLogWriter {
  readonly #deps: TaskLogDeps;
  #lastEntryId: string;
  #pending: LogEntry[] = [];
  #taken: LogEntry[] = [];

  constructor(deps: TaskLogDeps) {
    this.#deps = deps;
    this.#lastEntryId = deps.lastEntryId ?? "";
  }

  /** Adds one entry; it is written with the next commit or by the timer. */
  write(message: string, fields: LogFields = {}): void {
    const entryId = laterId(this.#deps.ids.uuid(), this.#lastEntryId);
    this.#lastEntryId = entryId;
    this.#pending.push({
      entryId,
      atMs: this.#deps.clock.nowMs(),
      message: clean(message),
      fields: redacted(fields),
    });
    if (this.#pending.length > taskLogPendingMax) this.#pending.shift();
  }

  /** Writes what waits, at most every taskLogFlushMs, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#deps.clock.sleep(taskLogFlushMs, signal);
        if (this.#pending.length > 0) await this.#tryFlush(signal);
      }
    } catch (error) {
      if (!signal.aborted || !isAbort(error)) throw error;
    }
  }

  /** The entries to put into the commit that is being made. */
  take(): readonly LogEntry[] {
    this.#taken = [...this.#taken, ...this.#pending];
    this.#pending = [];
    return this.#taken;
  }

  /** The commit was applied. */
  confirm(): void {
    this.#taken = [];
  }

  /** The commit was not applied, or nobody knows: the entries go with the next one; twice is harmless. */
  restore(): void {
    this.#pending = [...this.#taken, ...this.#pending];
    this.#taken = [];
  }

  async #tryFlush(signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.flush();
    } catch (error) {
      if (signal.aborted) throw error;
      this.#deps.log.warn("could not write the task log", { error: messageOf(error) });
    }
  }
}

/** The fresh id, or, when another host's clock was ahead, the successor of the last one. */
export function laterId(fresh: string, last: string): string {
  if (fresh > last) return fresh;
  const digits = last.replaceAll("-", "");
  const tail = (BigInt(`0x${digits.slice(20)}`) + 1n).toString(16).padStart(12, "0");
  return `${last.slice(0, 24)}${tail.slice(-12)}`;
}

/** Control characters other than tab are dropped, and the length is bounded. */
function clean(message: string): string {
  const printable = message.replaceAll(/[\p{Cc}]/gu, (char) =>
    char === "\n" || char === "\t" ? " " : "",
  );
  return printable.length <= taskLogMessageCharsMax
    ? printable
    : `${printable.slice(0, taskLogMessageCharsMax - 1)}…`;
}

function redacted(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Secret ? value.toString() : typeof value === "string" ? clean(value) : value,
    ]),
  );
}
