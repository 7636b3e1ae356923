// What clients of the database under test did and what they were told: the only evidence that checks use.
// Times are of one clock (performance.now of the rig's process), so intervals of different hosts compare exactly.

/**
 * `acked`: the server said that it is committed. `failed`: it cannot be committed (refused before, or rolled back).
 * `unknown`: anything else; a lost connection, or a commit whose wait for a standby was given up (WARNING 01000).
 */
export type Outcome = "acked" | "failed" | "unknown";

/** One write of one row that nobody else writes. */
export interface Attempt {
  readonly client: string;
  /** Grows by one per client, so (client, n) is the row's identity. */
  readonly n: number;
  /** Host that was asked. */
  readonly host: string;
  readonly sentMs: number;
  readonly endedMs: number;
  readonly outcome: Outcome;
  /** Timeline on which the server wrote the row; of acknowledged writes. */
  readonly timeline: number;
  /** Why it was not acknowledged. */
  readonly reason: string;
}

/** One read through the routed endpoint: the newest row of each client that it saw. */
export interface Read {
  readonly host: string;
  readonly sentMs: number;
  readonly newest: ReadonlyMap<string, number>;
}

/** Everything recorded of one run, in order of completion. */
export class Recording {
  readonly attempts: Attempt[] = [];
  readonly reads: Read[] = [];

  acked(sinceMs = Number.NEGATIVE_INFINITY): Attempt[] {
    return this.attempts.filter(
      ({ outcome, endedMs }) => outcome === "acked" && endedMs >= sinceMs,
    );
  }
}

/** Name of a row as the checks print it. */
export function rowId({ client, n }: { readonly client: string; readonly n: number }): string {
  return `${client}:${n}`;
}
