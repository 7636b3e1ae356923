// Nodes as high availability sees them: who is primary, who follows whom and how closely, and what can be changed of it.
import { type Static, Type } from "@sinclair/typebox";
import { closed, mapOf, oneOf } from "./closed.ts";
import { Identifier, NodeName, Strings, Timestamp } from "./fields.ts";
import { HaTagsSpec } from "./ha-spec.ts";
import { InstanceState } from "./instance.ts";

const SYNCHRONOUS_MODES = ["off", "on", "quorum", "auto"] as const;
const SELECTIONS = ["any", "first"] as const;
const Count = Type.Integer({ format: "int64", minimum: 1, maximum: 8 });
const Seconds = Type.Integer({ format: "int64", minimum: 0, maximum: 86_400 });
const Bytes = Type.Integer({ format: "int64", minimum: 0 });

/** How commits wait for standbys; a field that is left out stays as it is. */
export const SynchronousChange = closed({
  mode: Type.Optional(oneOf(SYNCHRONOUS_MODES)),
  strict: Type.Optional(Type.Boolean()),
  count: Type.Optional(Count),
  selection: Type.Optional(oneOf(SELECTIONS)),
  degrade_after: Type.Optional(Seconds),
});
export type SynchronousChange = Static<typeof SynchronousChange>;

export const Synchronous = closed({
  mode: oneOf(SYNCHRONOUS_MODES),
  strict: Type.Boolean(),
  count: Count,
  selection: oneOf(SELECTIONS),
  degrade_after: Seconds,
  /** Instances that commits wait for now, by the record in the store. */
  standbys: Strings,
  /** Wanted, but not in force. */
  degraded: Type.Boolean(),
  /** What could break the promise although everything is in force, e.g. a release with a known flaw. */
  warnings: Strings,
});
export type Synchronous = Static<typeof Synchronous>;

export const Upstream = closed({ instance_id: Type.String({ minLength: 1, maxLength: 63 }) });
export type Upstream = Static<typeof Upstream>;

/** Without an instance: the primary, whoever that is. */
export const UpstreamChange = closed({
  instance_id: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
});
export type UpstreamChange = Static<typeof UpstreamChange>;

export const TopologyInstance = closed({
  instance_id: Type.String(),
  host_id: Type.String(),
  role: oneOf(["primary", "replica", "uninitialized", "unknown"]),
  state: InstanceState,
  /** Of a standby: "streaming", or what it does instead. */
  replication_state: Type.Optional(Type.String()),
  /** Whom it receives from. */
  upstream: Type.Optional(Upstream),
  sync_state: Type.Optional(oneOf(["sync", "quorum", "async"])),
  timeline: Type.Optional(Type.Integer({ format: "int64" })),
  lsn: Type.Optional(Type.String()),
  lag_bytes: Type.Optional(Type.Integer({ format: "int64" })),
  tags: mapOf(Type.Union([Type.Boolean(), Type.Number(), Type.String()])),
  /** What speaks against making it the primary now; absent = nothing, or it is. */
  unfit: Type.Optional(Type.String()),
  /** When its keeper looked last. */
  seen_at: Type.Optional(Timestamp),
});
export type TopologyInstance = Static<typeof TopologyInstance>;

export const TopologyNode = closed({
  name: NodeName,
  /** degraded = there is a primary, and an instance that is not as it should be. */
  state: oneOf(["available", "degraded", "no_primary"]),
  primary_instance_id: Type.Optional(Type.String()),
  /** Grows with every change of primary. */
  epoch: Type.Optional(Type.Integer({ format: "int64" })),
  timeline: Type.Optional(Type.Integer({ format: "int64" })),
  lease: Type.Optional(
    closed({ holder: Type.Optional(Type.String()), phase: Type.String(), ttl_ms: Type.Integer() }),
  ),
  /** Nothing happens by itself until then. */
  paused_until: Type.Optional(Timestamp),
  pause_reason: Type.Optional(Type.String()),
  synchronous: Synchronous,
  maximum_lag_on_failover: Bytes,
  instances: Type.Array(TopologyInstance),
});
export type TopologyNode = Static<typeof TopologyNode>;

export const Topology = closed({
  database_id: Identifier,
  /** Of the spec; name it in If-Match to change only what was seen. */
  revision: Type.Integer({ format: "int64" }),
  as_of: Timestamp,
  nodes: Type.Array(TopologyNode),
});
export type Topology = Static<typeof Topology>;

export const TopologyInstanceChange = closed({
  instance_id: Type.String({ minLength: 1, maxLength: 63 }),
  upstream: Type.Optional(UpstreamChange),
  /** Replace all tags of the instance. */
  tags: Type.Optional(HaTagsSpec),
});
export type TopologyInstanceChange = Static<typeof TopologyInstanceChange>;

export const TopologyNodeChange = closed({
  name: NodeName,
  synchronous: Type.Optional(SynchronousChange),
  maximum_lag_on_failover: Type.Optional(Bytes),
  instances: Type.Optional(Type.Array(TopologyInstanceChange)),
});
export type TopologyNodeChange = Static<typeof TopologyNodeChange>;

/** What is left out stays as it is. Who is primary is changed by a switchover, never here. */
export const TopologyChange = closed({ nodes: Type.Array(TopologyNodeChange, { maxItems: 9 }) });
export type TopologyChange = Static<typeof TopologyChange>;

export const PauseNodeRequest = closed({
  ttl_s: Type.Optional(
    Type.Integer({
      format: "int64",
      minimum: 1,
      maximum: 7 * 86_400,
      description: "Seconds until everything happens by itself again; an hour when absent.",
    }),
  ),
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
});
export type PauseNodeRequest = Static<typeof PauseNodeRequest>;

export const NodePause = closed({
  node_name: NodeName,
  /** Absent = not paused. */
  paused_until: Type.Optional(Timestamp),
  reason: Type.Optional(Type.String()),
  /** Instances that have not said yet that they keep the pause; absent = all have. */
  unconfirmed: Type.Optional(Type.Array(Type.String())),
});
export type NodePause = Static<typeof NodePause>;

export const NodeHistoryEntry = closed({
  epoch: Type.Integer({ format: "int64" }),
  instance_id: Type.String(),
  /** Absent where the instance is gone. */
  host_id: Type.Optional(Type.String()),
  timeline: Type.Integer({ format: "int64" }),
  /** Where its timeline left the one before. */
  from_timeline: Type.Optional(Type.Integer({ format: "int64" })),
  switch_lsn: Type.Optional(Type.String()),
  reason: Type.String(),
  /** What was lost, or agreed to be; absent = nothing that anybody knows. */
  lost: Type.Optional(Type.String()),
  since: Timestamp,
  /** Absent = it still is. */
  until: Type.Optional(Timestamp),
});
export type NodeHistoryEntry = Static<typeof NodeHistoryEntry>;

/** Newest first. */
export const NodeHistory = closed({
  database_id: Identifier,
  node_name: NodeName,
  entries: Type.Array(NodeHistoryEntry),
});
export type NodeHistory = Static<typeof NodeHistory>;

/** What would happen if something died at this moment. */
export const LossCase = closed({
  /** Instances that die. */
  lost: Strings,
  /** Who would be primary then; absent = nobody by itself. */
  primary_instance_id: Type.Optional(Type.String()),
  /** How long nobody could write at the most, without what promoting takes. */
  writes_stop_ms: Type.Integer({ format: "int64" }),
  /** Of what was acknowledged. */
  loses: oneOf(["nothing", "recent writes", "unknown"]),
  /** What each of the others would do, and why. */
  members: Type.Array(closed({ instance_id: Type.String(), sentence: Type.String() })),
  sentence: Type.String(),
});
export type LossCase = Static<typeof LossCase>;

export const NodeExplanation = closed({
  database_id: Identifier,
  node_name: NodeName,
  cases: Type.Array(LossCase),
});
export type NodeExplanation = Static<typeof NodeExplanation>;

export const ReinitializeRequest = closed({
  from: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 63,
      description: "Instance to copy from; the keepers choose one when absent.",
    }),
  ),
});
export type ReinitializeRequest = Static<typeof ReinitializeRequest>;
