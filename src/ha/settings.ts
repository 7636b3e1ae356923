// How a node is kept available: its members, the times of its lease, and what may be lost. In milliseconds and bytes; users write
// Patroni's names, which the plan turns into these.

/** Settings of one node, the same for all of its members. */
export interface HaSettings {
  /** Upper bound of what the holder of the lease promises. */
  readonly ttl_ms: number;
  /** How often the holder renews. */
  readonly loop_ms: number;
  /** All tries of one renewal. */
  readonly retry_ms: number;
  /** The holder's PostgreSQL is gone this much before the promise ends. */
  readonly guard_ms: number;
  /** A standby further behind the last known position than this is not promoted. */
  readonly maximum_lag_bytes: number;
  /** How long a primary that ended may take to accept connections again before another takes over; 0 = at once. */
  readonly primary_start_timeout_ms: number;
  /** How long a primary may take to stop in order; 0 = as long as it likes. */
  readonly primary_stop_timeout_ms: number;
  /** Without the store a primary goes on while all members agree. */
  readonly failsafe: boolean;
  readonly profile: "default" | "fast" | "wide";
  readonly synchronous: SynchronousSettings;
}

export interface SynchronousSettings {
  readonly mode: "off" | "on" | "quorum" | "auto";
  /** Standbys that have to have a commit before it is acknowledged. */
  readonly count: number;
  /** Writes wait while there are fewer standbys than `count`; otherwise the node degrades to asynchronous. */
  readonly strict: boolean;
  readonly selection: "any" | "first";
  /** How long a synchronous standby may be away before the node goes on without it. */
  readonly degrade_after_ms: number;
}

/** One instance of the group and how the others reach it. */
export interface HaMember {
  readonly instance_id: string;
  readonly host_id: string;
  /** Addresses of PostgreSQL and of the keeper's REST API, best first. */
  readonly addresses: readonly string[];
  /** TCP port of PostgreSQL. */
  readonly port: number;
  readonly rest_port: number;
  readonly tags: HaTags;
}

/** Under Patroni's names: nofailover, failover_priority, nosync, noloadbalance, clonefrom, replicatefrom …; others are the user's own. */
export type HaTags = Readonly<Record<string, boolean | number | string>>;
