// What a keeper knows between two cycles. Everything in it can be seen again after a restart of the keeper.
import type { RunGoal } from "../../src/ha/action.ts";
import type { SlotRow } from "../../src/postgres/sql/replication.ts";
import type { ServerStatus } from "../../src/postgres/sql/status.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import type { DataState } from "./bootstrap.ts";
import type { CertificateFacts } from "./certificates.ts";
import type { ConfigurationOnDisk, PendingSetting } from "./configuration.ts";
import type { ConfigurationTexts } from "./configuration-files.ts";
import type { GroupPart } from "./ha/replication-role.ts";
import type { SqlSession } from "./sql.ts";

/** What the keeper does to PostgreSQL at this moment, in the words of Patroni's API. */
export type Doing =
  | "initializing new cluster"
  | "creating replica"
  | "starting"
  | "restarting"
  | "stopping";

export interface Crash {
  readonly text: string;
  readonly beforeReady: boolean;
  /** The configuration files may be the reason. */
  readonly filesSuspected: boolean;
  /** Crashes in a row. */
  readonly count: number;
  /** Monotonic time from which on it may be started again. */
  readonly retryAtMs: number;
}

export interface Memory {
  config: InstanceConfig | undefined;
  fromStore: boolean;
  /** Generation that the store gave and that everybody was told of. */
  takenGeneration: number;
  /** The files that the configuration asks for. */
  wanted: ConfigurationTexts | undefined;
  /** The last configuration that was in effect: what a refused one cannot replace. */
  accepted: InstanceConfig | undefined;
  /** `wanted` is of the accepted configuration, because the newest was refused. */
  substituted: boolean;
  onDisk: ConfigurationOnDisk | undefined;
  onDiskAtMs: number;
  /** Why the files of a generation were refused. */
  refusal: { readonly generation: number; readonly error: string } | undefined;
  /** `writtenAtMs` of the files and certificates that PostgreSQL certainly has read. */
  readWrittenAtMs: number;
  readCertificatesAtMs: number;
  data: DataState | undefined;
  /** Of the data that this instance has or had, also when the data cannot be seen; reported for ever. */
  systemIdentifier: string | undefined;
  process: "unknown" | "running" | "stopping" | "stopped";
  postmasterPid: number | undefined;
  /** Processes that were left when the last postmaster ended; 0 = none, as seen by the fencer. */
  remaining: number;
  session: SqlSession | undefined;
  /** As the running server has it. */
  serverPort: number | undefined;
  status: ServerStatus | undefined;
  /** Monotonic time of `status`. */
  statusAtMs: number;
  accepting: boolean;
  /** Monotonic time since when PostgreSQL accepts connections, since its last start. */
  readyAtMs: number | undefined;
  pending: readonly PendingSetting[];
  overridden: readonly string[];
  certificates: CertificateFacts | undefined;
  appliedGeneration: number;
  restartedGeneration: number;
  doing: Doing | undefined;
  crash: Crash | undefined;
  /** PostgreSQL is being ended on purpose. */
  ending: boolean;
  /** The last action failed like this. */
  failure:
    | { readonly text: string; readonly count: number; readonly retryAtMs: number }
    | undefined;
  initdbFailed: boolean;
  restartReason: string | undefined;
  reloadAsked: boolean;
  /** The request that is worked on. */
  lane: { readonly requestId: string; readonly abort: AbortController } | undefined;
  /** What the group wants; undefined where the node has one instance. */
  goal: RunGoal | undefined;
  /** The instance's part in the group, as the configuration has to show it. */
  part: GroupPart | undefined;
  /** What slots may keep for members that are away, in bytes; undefined where the node has one instance. */
  slotLogBytes: number | undefined;
  /** Slots when they were looked at last, and when that was, wall time. */
  slots: { readonly rows: readonly SlotRow[]; readonly atMs: number } | undefined;
  /** Members for which logical decoding on the primary waits (17+). */
  decodingWaitsFor: readonly string[];
  /** While it follows, it has copies of the upstream's logical slots (17+). */
  copySlots: boolean;
  /** Something of the group is under way: look at PostgreSQL in every cycle. */
  hot: boolean;
  /** What it sees there decides at once. */
  racing: boolean;
  /** A checkpoint runs that was ordered after a promotion. */
  checkpointing: boolean;
  decision: string;
  error: string | undefined;
  /** Monotonic time of the last finished cycle. */
  cycleAtMs: number;
}

export function emptyMemory(): Memory {
  return {
    config: undefined,
    fromStore: false,
    takenGeneration: 0,
    wanted: undefined,
    accepted: undefined,
    substituted: false,
    onDisk: undefined,
    onDiskAtMs: Number.NEGATIVE_INFINITY,
    refusal: undefined,
    readWrittenAtMs: 0,
    readCertificatesAtMs: 0,
    data: undefined,
    systemIdentifier: undefined,
    process: "unknown",
    postmasterPid: undefined,
    remaining: 0,
    session: undefined,
    serverPort: undefined,
    status: undefined,
    statusAtMs: Number.NEGATIVE_INFINITY,
    accepting: false,
    readyAtMs: undefined,
    pending: [],
    overridden: [],
    certificates: undefined,
    appliedGeneration: 0,
    restartedGeneration: 0,
    doing: undefined,
    crash: undefined,
    ending: false,
    failure: undefined,
    initdbFailed: false,
    restartReason: undefined,
    reloadAsked: false,
    lane: undefined,
    goal: undefined,
    part: undefined,
    slotLogBytes: undefined,
    slots: undefined,
    decodingWaitsFor: [],
    copySlots: false,
    hot: false,
    racing: false,
    checkpointing: false,
    decision: "starting",
    error: undefined,
    cycleAtMs: 0,
  };
}
