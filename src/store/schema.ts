// All tables of the store. Times are milliseconds made by the caller; ids are made by the caller;
// nothing is deleted by cascade. Every field has one writer, named at the table.
import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import type { LeasePhase } from "../ha/lease.ts";
import type { JoinRole } from "../spec/cluster.ts";
import type { DatabaseState } from "../spec/database.ts";
import type { InstanceState } from "../spec/instance.ts";
import type { TaskScope, TaskStatus, TaskType } from "../spec/task.ts";

/** One row, written by init. `ca_key` is sealed with the cluster key. */
export const cluster = sqliteTable("cluster", {
  singleton: integer("singleton").primaryKey(),
  id: text("id").notNull(),
  caCertificate: text("ca_certificate").notNull(),
  caKey: text("ca_key").notNull(),
  joinToken: text("join_token").notNull(),
  createdAtMs: integer("created_at_ms").notNull(),
});

/** Bumped in every commit; polled to notice changes. One row. */
export const changes = sqliteTable("changes", {
  singleton: integer("singleton").primaryKey(),
  version: integer("version").notNull(),
});

/** Operation ids of mutating requests, so that a repeated request is harmless. Pruned by age. */
export const operationsLog = sqliteTable("operations_log", {
  id: text("id").primaryKey(),
  atMs: integer("at_ms").notNull(),
});

/** Written by the host's own server at start. `record` is a HostRecord as JSON. */
export const hosts = sqliteTable("hosts", {
  id: text("id").primaryKey(),
  generation: integer("generation").notNull(),
  record: text("record").notNull(),
  createdAtMs: integer("created_at_ms").notNull(),
  updatedAtMs: integer("updated_at_ms").notNull(),
});

/** Written by the host's own server every hostReportIntervalMs. */
export const hostStatuses = sqliteTable("host_statuses", {
  hostId: text("host_id").primaryKey(),
  status: text("status").notNull(),
  updatedAtMs: integer("updated_at_ms").notNull(),
});

/** What users say of a host. `labels` and `client_addresses`: JSON. Compare-and-set on `generation` by operations. */
export const hostSettings = sqliteTable("host_settings", {
  hostId: text("host_id").primaryKey(),
  generation: integer("generation").notNull(),
  labels: text("labels").notNull(),
  /** null = what the host says itself. */
  clientAddresses: text("client_addresses"),
  /** null = it is in service. */
  maintenanceSinceMs: integer("maintenance_since_ms"),
  maintenanceReason: text("maintenance_reason"),
});

/** `spec` (JSON, secrets sealed) and `generation`: operations. `state`: operations at acceptance, the worker at the end. */
export const databases = sqliteTable("databases", {
  id: text("id").primaryKey(),
  tenantId: text("tenant_id"),
  generation: integer("generation").notNull(),
  state: text("state").$type<DatabaseState>().notNull(),
  /** 0 until it was available for the first time; scripts run only while it is 0. */
  wasAvailable: integer("was_available").notNull(),
  createdAtMs: integer("created_at_ms").notNull(),
  updatedAtMs: integer("updated_at_ms").notNull(),
  spec: text("spec").notNull(),
});

/** `config` (InstanceConfig as JSON), `state`, `error`: the worker (state also operations at acceptance). */
export const instances = sqliteTable(
  "instances",
  {
    id: text("id").primaryKey(),
    databaseId: text("database_id").notNull(),
    nodeName: text("node_name").notNull(),
    hostId: text("host_id").notNull(),
    state: text("state").$type<InstanceState>().notNull(),
    error: text("error"),
    /** TCP port and addresses of `config`, for lists: null = not exposed, or no configuration yet. */
    port: integer("port"),
    addresses: text("addresses"),
    /** Highest generation ever written to `config`; a smaller one is refused. */
    generation: integer("generation").notNull(),
    createdAtMs: integer("created_at_ms").notNull(),
    updatedAtMs: integer("updated_at_ms").notNull(),
    config: text("config"),
  },
  (table) => [index("instances_by_database").on(table.databaseId)],
);

/** InstanceReport as JSON; written by the keeper only. */
export const instanceReports = sqliteTable("instance_reports", {
  instanceId: text("instance_id").primaryKey(),
  report: text("report").notNull(),
  updatedAtMs: integer("updated_at_ms").notNull(),
});

/** KeeperRequest as JSON; made by a step, answered by the keeper. The payload is emptied with the answer. */
export const keeperRequests = sqliteTable(
  "keeper_requests",
  {
    /** `<task id>:<step id>`; a repeated step finds its own earlier request. */
    id: text("id").primaryKey(),
    instanceId: text("instance_id").notNull(),
    generation: integer("generation").notNull(),
    payload: text("payload").notNull(),
    state: text("state").notNull(),
    answer: text("answer"),
    createdAtMs: integer("created_at_ms").notNull(),
    finishedAtMs: integer("finished_at_ms"),
  },
  (table) => [index("keeper_requests_by_instance").on(table.instanceId, table.state)],
);

/** StoredResource as JSON; written by the worker as steps finish. */
export const resources = sqliteTable(
  "resources",
  {
    databaseId: text("database_id").notNull(),
    key: text("key").notNull(),
    resource: text("resource").notNull(),
    updatedAtMs: integer("updated_at_ms").notNull(),
  },
  (table) => [primaryKey({ columns: [table.databaseId, table.key] })],
);

/** Ports taken on a host, fixed and random; written together with the spec that needs them. */
export const ports = sqliteTable(
  "ports",
  {
    hostId: text("host_id").notNull(),
    port: integer("port").notNull(),
    databaseId: text("database_id").notNull(),
    instanceId: text("instance_id").notNull(),
    /** "postgres" or "rest" */
    purpose: text("purpose").$type<"postgres" | "rest">().notNull(),
    /** 1 = allocated for a requested 0 */
    random: integer("random").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.hostId, table.port] }),
    index("ports_by_database").on(table.databaseId),
  ],
);

/** Made by operations; `status`, times, `error`: the worker, except `canceling`, which a cancel request sets. Kept after its database is gone. */
export const tasks = sqliteTable(
  "tasks",
  {
    id: text("id").primaryKey(),
    scope: text("scope").$type<TaskScope>().notNull(),
    entityId: text("entity_id").notNull(),
    databaseId: text("database_id"),
    nodeName: text("node_name"),
    instanceId: text("instance_id"),
    hostId: text("host_id"),
    parentId: text("parent_id"),
    type: text("type").$type<TaskType>().notNull(),
    status: text("status").$type<TaskStatus>().notNull(),
    error: text("error"),
    plan: text("plan").notNull(),
    /** Epoch of the worker that runs it; 0 = not claimed. */
    epoch: integer("epoch").notNull(),
    createdAtMs: integer("created_at_ms").notNull(),
    startedAtMs: integer("started_at_ms"),
    completedAtMs: integer("completed_at_ms"),
  },
  (table) => [
    index("tasks_by_entity").on(table.scope, table.entityId, table.id),
    index("tasks_by_status").on(table.status),
  ],
);

/** Progress of the steps of a task; written by the worker. No row = not started. */
export const taskSteps = sqliteTable(
  "task_steps",
  {
    taskId: text("task_id").notNull(),
    stepId: text("step_id").notNull(),
    /** running | done | failed */
    state: text("state").$type<"running" | "done" | "failed">().notNull(),
    attempts: integer("attempts").notNull(),
    error: text("error"),
    startedAtMs: integer("started_at_ms").notNull(),
    finishedAtMs: integer("finished_at_ms"),
  },
  (table) => [primaryKey({ columns: [table.taskId, table.stepId] })],
);

/** Append-only; entry ids are UUIDv7 and order the log. */
export const taskLog = sqliteTable(
  "task_log",
  {
    taskId: text("task_id").notNull(),
    entryId: text("entry_id").notNull(),
    atMs: integer("at_ms").notNull(),
    message: text("message").notNull(),
    fields: text("fields").notNull(),
  },
  (table) => [primaryKey({ columns: [table.taskId, table.entryId] })],
);

/** Who may run tasks; compare-and-set on (epoch, seq). One row. */
export const workerLease = sqliteTable("worker_lease", {
  singleton: integer("singleton").primaryKey(),
  epoch: integer("epoch").notNull(),
  seq: integer("seq").notNull(),
  holder: text("holder").notNull(),
  incarnation: text("incarnation").notNull(),
  ttlMs: integer("ttl_ms").notNull(),
});

/** Answers to requests with an Idempotency-Key; pruned by age. */
export const idempotencyKeys = sqliteTable("idempotency_keys", {
  key: text("key").primaryKey(),
  requestHash: text("request_hash").notNull(),
  response: text("response").notNull(),
  atMs: integer("at_ms").notNull(),
});

/** Tokens with which hosts join. `secret` is sealed with the cluster key. Written by operations. */
export const joinTokens = sqliteTable("join_tokens", {
  id: text("id").primaryKey(),
  secret: text("secret").notNull(),
  role: text("role").$type<JoinRole>().notNull(),
  /** null = never. */
  expiresAtMs: integer("expires_at_ms"),
  revokedAtMs: integer("revoked_at_ms"),
  createdAtMs: integer("created_at_ms").notNull(),
});

/** Numbers that concern the whole cluster, by name; each grows only. */
export const clusterSettings = sqliteTable("cluster_settings", {
  name: text("name").primaryKey(),
  value: integer("value").notNull(),
});

/** Who may be primary of a node, and everything whose order matters with it; compare-and-set by keepers. */
export const haLeases = sqliteTable(
  "ha_leases",
  {
    databaseId: text("database_id").notNull(),
    nodeName: text("node_name").notNull(),
    /** Grows with every change of holder; never used again. */
    epoch: integer("epoch").notNull(),
    /** Grows with every renewal. */
    seq: integer("seq").notNull(),
    /** New with every write: tells a writer without an answer whether its write is there. */
    nonce: text("nonce").notNull(),
    /** Instance id; null = released. */
    holder: text("holder"),
    incarnation: text("incarnation").notNull(),
    /** What the holder promises for this lease. */
    ttlMs: integer("ttl_ms").notNull(),
    phase: text("phase").$type<LeasePhase>().notNull(),
    /** The timeline that belongs to this epoch. */
    timeline: integer("timeline").notNull(),
    nextTimeline: integer("next_timeline").notNull(),
    systemIdentifier: text("system_identifier"),
    /** JSON array of the instances that may take the lease. */
    members: text("members").notNull(),
    /** The synchronous record as JSON. */
    sync: text("sync").notNull(),
    /** The holder's last known flush position. */
    optime: text("optime"),
    checkpointDone: integer("checkpoint_done").notNull(),
    /** How the lease was given back, as JSON. */
    ending: text("ending"),
  },
  (table) => [primaryKey({ columns: [table.databaseId, table.nodeName] })],
);

/** MemberStatus as JSON; written by the member's keeper. */
export const haMembers = sqliteTable(
  "ha_members",
  {
    instanceId: text("instance_id").primaryKey(),
    databaseId: text("database_id").notNull(),
    nodeName: text("node_name").notNull(),
    status: text("status").notNull(),
    updatedAtMs: integer("updated_at_ms").notNull(),
  },
  (table) => [index("ha_members_by_node").on(table.databaseId, table.nodeName)],
);

/** Who was primary of a node, since when and why; appended by the keeper that takes the lease. */
export const haEpochs = sqliteTable(
  "ha_epochs",
  {
    databaseId: text("database_id").notNull(),
    nodeName: text("node_name").notNull(),
    epoch: integer("epoch").notNull(),
    instanceId: text("instance_id").notNull(),
    incarnation: text("incarnation").notNull(),
    timeline: integer("timeline").notNull(),
    fromTimeline: integer("from_timeline"),
    switchLsn: text("switch_lsn"),
    reason: text("reason").notNull(),
    /** What did not survive the change, as JSON; null = nothing is known to be lost. */
    lost: text("lost"),
    atMs: integer("at_ms").notNull(),
  },
  (table) => [primaryKey({ columns: [table.databaseId, table.nodeName, table.epoch] })],
);

/** What users ask of a node's keepers. Made by operations, answered by keepers; at most one open change of primary. */
export const haIntents = sqliteTable(
  "ha_intents",
  {
    id: text("id").primaryKey(),
    databaseId: text("database_id").notNull(),
    nodeName: text("node_name").notNull(),
    kind: text("kind").notNull(),
    payload: text("payload").notNull(),
    state: text("state").notNull(),
    answer: text("answer"),
    notBeforeMs: integer("not_before_ms"),
    expiresAtMs: integer("expires_at_ms"),
    createdAtMs: integer("created_at_ms").notNull(),
    finishedAtMs: integer("finished_at_ms"),
  },
  (table) => [
    index("ha_intents_by_node").on(table.databaseId, table.nodeName, table.state),
    uniqueIndex("ha_intents_one_handover")
      .on(table.databaseId, table.nodeName)
      .where(
        sql`${table.kind} IN ('switchover', 'failover') AND ${table.state} IN ('pending', 'running')`,
      ),
  ],
);
