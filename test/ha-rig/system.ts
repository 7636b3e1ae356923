// What the rig needs to know of a system that keeps a PostgreSQL node available. Faults, workloads and checks use
// nothing else, so every system is treated alike.
import type { Lab, LabHost } from "../lab/lab.ts";
import type { Epoch } from "./checks/epochs.ts";
import type { Endpoint, Login } from "./workload/session.ts";

export const MODES = ["async", "sync", "strict", "quorum"] as const;
/** How commits wait: for nobody; for one standby while there is one; for one in any case; for any one of all. */
export type Mode = (typeof MODES)[number];

/** Patroni's names; `fastest` is each system's own shortest. */
export const TIMINGS = {
  usual: { ttl: 30, loop_wait: 10, retry_timeout: 10 },
  fastest: { ttl: 20, loop_wait: 1, retry_timeout: 3 },
} as const;
export type Timings = keyof typeof TIMINGS;

export interface Setup {
  readonly mode: Mode;
  readonly timings: Timings;
  readonly major: number;
  /** Of PostgreSQL, in place of those that all have. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Settings of PostgreSQL that both systems get, so that only what surrounds it differs. */
export const POSTGRES_SETTINGS = {
  max_connections: 100,
  shared_buffers: "128MB",
  max_wal_senders: 10,
  max_replication_slots: 10,
  wal_keep_size: "256MB",
  max_wal_size: "1GB",
  checkpoint_timeout: "5min",
  hot_standby: "on",
  hot_standby_feedback: "on",
  effective_cache_size: "1GB",
  maintenance_work_mem: "64MB",
  autovacuum_work_mem: "64MB",
  wal_log_hints: "on",
} as const;

/** Kinds of processes that faults can hit. `agent` is the HA process, `fencer` what kills when the agent cannot. */
export const PROCESSES = [
  "postmaster",
  "backend",
  "checkpointer",
  "walsender",
  "walreceiver",
  "startup",
  "agent",
  "fencer",
  "store",
] as const;
export type ProcessKind = (typeof PROCESSES)[number];

export interface System {
  readonly name: string;
  readonly lab: Lab;
  /** In the order of the node's instances; the first is where the primary is created. */
  readonly hosts: readonly LabHost[];
  readonly login: Login;
  /** How long the system may take to notice that a host is gone, by its own settings. */
  readonly detectionMs: number;

  /** Boots the hosts and makes the node; returns when the primary takes writes. */
  up(setup: Setup): Promise<void>;
  /** Version of everything that matters, for reports. */
  version(): Promise<string>;
  endpoint(host: LabHost): Endpoint;
  primaryUrl(host: LabHost): string;
  /** Command lines of the processes of a kind that are not PostgreSQL's; undefined when the system has none. */
  command(kind: "agent" | "fencer" | "store"): RegExp | undefined;
  /** Listening ports on every host, for partitions of one kind of traffic. */
  ports(): { readonly postgres: readonly number[]; readonly store: readonly number[] };
  dataDirectory(host: LabHost): string;
  /** The host whose member of the store leads. */
  storeLeader(): Promise<LabHost | undefined>;
  /** Kills a host's member of the store and keeps it down; the answer starts it again. */
  stopStore(host: LabHost): Promise<() => Promise<void>>;
  /** Moves the primary to another host, as an operator asks for it; returns when that was answered. */
  switchover(from: LabHost, to: LabHost): Promise<void>;
  /** Nothing is to happen by itself until `resume`. Both return when that is in force. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** A logical slot of the plugin test_decoding that is there whoever is primary. */
  makeSlot(name: string): Promise<void>;
  dropSlot(name: string): Promise<void>;
  /** Stops the primary with everything beside it in an orderly way, as maintenance of its host does. */
  cleanStop(host: LabHost): Promise<void>;
  /** Starts again what `cleanStop` has stopped. */
  startAgain(host: LabHost): Promise<void>;
  /** Who was primary when, as the system tells it; undefined when it does not. */
  epochs(): Promise<readonly Epoch[] | undefined>;
  /** What its own record of synchronous standbys lacks until one could take over; for systems that keep one apart. */
  recordLacks?(): Promise<string | undefined>;
  /** Directories of data that was replaced. */
  keptAside(host: LabHost): Promise<readonly string[]>;
  /** What the system logged on a host, for reports of failures. */
  logs(host: LabHost): Promise<string>;
}
