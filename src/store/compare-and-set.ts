// One guarded write that either is there or is not, whatever became of its answer. Every such write carries a new
// nonce: reading it back tells whether the write was applied; while the row is as it was seen, sending the same
// write again can do no harm, because its guard lets it in once.
import type { Clock } from "../base/clock.ts";
import { AppError, isAbort, messageOf } from "../base/errors.ts";
import { casPauseMs } from "../base/limits.ts";
import type { Rqlite } from "./rqlite.ts";
import type { Query, QueryResult } from "./statement.ts";
import { StoreError } from "./store-error.ts";

/** What identifies one state of the row. */
export interface Version {
  readonly epoch: number;
  readonly seq: number;
  readonly nonce: string;
}

export interface CasOptions {
  readonly signal: AbortSignal;
  /** Over all tries, finding out about a doubtful one included. */
  readonly deadlineMs: number;
  /** Of one try. */
  readonly timeoutMs: number;
}

/**
 * done: the write is there. lost: it is not and never will be; `found` is there instead. unknown: the store did not
 * say within the time given, and the write may still be applied.
 */
export type CasOutcome<T> =
  | { readonly kind: "done" }
  | { readonly kind: "lost"; readonly found: T | undefined }
  | { readonly kind: "unknown"; readonly why: string };

export interface CompareAndSet<T extends Version> {
  /** The guarded statement first; the others are bound to its nonce. */
  readonly statements: readonly Query[];
  readonly nonce: string;
  /** Whether the guard lets the write in while this row is there; undefined = none. */
  readonly fits: (found: T | undefined) => boolean;
  /** How it is sent the first time; as a transaction of its own when absent. */
  readonly first?: (signal: AbortSignal) => Promise<readonly QueryResult[]>;
  /** A linearizable read of the row. */
  readonly read: (options: { signal: AbortSignal; timeoutMs: number }) => Promise<T | undefined>;
}

/** Writes, and finds out what came of it. Throws only for what is our own mistake, and when the signal aborts. */
export async function compareAndSet<T extends Version>(
  deps: { readonly rqlite: Rqlite; readonly clock: Clock },
  write: CompareAndSet<T>,
  options: CasOptions,
): Promise<CasOutcome<T>> {
  const { clock } = deps;
  const endMs = clock.monotonicMs() + options.deadlineMs;
  let why = "the store did not answer";
  let { first } = write;
  for (;;) {
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) return { kind: "unknown", why };
    const timeoutMs = Math.min(options.timeoutMs, leftMs);
    const once = { signal: options.signal, timeoutMs, deadlineMs: timeoutMs };
    try {
      const send = first;
      first = undefined;
      const [guarded] = send
        ? await within(clock, once, send)
        : await deps.rqlite.request(write.statements, { transaction: true, ...once });
      if ((guarded?.changed ?? 0) > 0) return { kind: "done" };
    } catch (error) {
      why = doubtOf(error, options.signal);
    }
    const found = await lookUp(write, endMs - clock.monotonicMs(), options);
    if (found.kind === "read") {
      if (found.row?.nonce === write.nonce) return { kind: "done" };
      if (!write.fits(found.row)) return { kind: "lost", found: found.row };
    } else {
      why = found.why;
    }
    if (clock.monotonicMs() + casPauseMs >= endMs) return { kind: "unknown", why };
    await clock.sleep(casPauseMs, options.signal);
  }
}

/** What takes longer is as good as without an answer. */
function within<T>(
  clock: Clock,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const limit = clock.sleep(timeoutMs, AbortSignal.any([signal, over.signal])).then(() => {
    throw new StoreError("timeout", "those who write together did not answer in time");
  });
  return Promise.race([work(signal), limit]).finally(() => {
    over.abort();
    limit.catch(() => undefined);
  });
}

type Look<T> =
  | { readonly kind: "read"; readonly row: T | undefined }
  | { readonly kind: "failed"; readonly why: string };

async function lookUp<T extends Version>(
  write: CompareAndSet<T>,
  leftMs: number,
  options: CasOptions,
): Promise<Look<T>> {
  if (leftMs <= 0) return { kind: "failed", why: "the store did not answer in time" };
  const timeoutMs = Math.min(options.timeoutMs, leftMs);
  try {
    return { kind: "read", row: await write.read({ signal: options.signal, timeoutMs }) };
  } catch (error) {
    return { kind: "failed", why: doubtOf(error, options.signal) };
  }
}

/** Why an outcome is in doubt; rethrows what leaves none. */
function doubtOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted && isAbort(error)) throw error;
  if (!(error instanceof AppError) || error.kind === "bug") throw error;
  return messageOf(error);
}
