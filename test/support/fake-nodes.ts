// Operations on nodes in memory: every node is a primary `<database>-n1-a` with one standby `<database>-n1-b`.
import { OperationError } from "../../src/operations/errors.ts";
import type {
  InstancePlace,
  NodeOperations,
  NodePlace,
} from "../../src/operations/node-operations.ts";
import type { PlanView } from "../../src/spec/plan-view.ts";
import type { Task, TaskType } from "../../src/spec/task.ts";
import type { Topology } from "../../src/spec/topology.ts";

const NOW = "2026-01-01T00:00:00Z";

type NewTask = (type: TaskType, databaseId: string, instanceId?: string) => Promise<Task>;

/** `newTask` makes a task of a database, or throws not_found. */
export function fakeNodes(newTask: NewTask): NodeOperations {
  const task = (type: TaskType, { databaseId, nodeName }: NodePlace) => {
    if (nodeName !== "n1") throw new OperationError("invalid_input", `there is no ${nodeName}`);
    return newTask(type, databaseId);
  };
  const instanceTask = (type: TaskType, { databaseId, instanceId }: InstancePlace) => {
    if (instanceId !== `${databaseId}-n1-a` && instanceId !== `${databaseId}-n1-b`) {
      throw new OperationError("not_found", `there is no instance ${instanceId}`);
    }
    return newTask(type, databaseId, instanceId);
  };
  const changed = async (databaseId: string, ifRevision: number | undefined) => {
    if (ifRevision !== undefined && ifRevision !== 1) {
      throw new OperationError("precondition_failed", `database ${databaseId} is at revision 1`);
    }
    const made = await newTask("update", databaseId);
    const database = { id: databaseId, created_at: NOW, updated_at: NOW };
    return { task: made, database: { ...database, state: "modifying" as const } };
  };
  return {
    switchover: async (place) => task("switchover", place),
    failover: async (place) => task("failover", place),
    pause: async ({ nodeName }, { reason }) => ({
      node_name: nodeName,
      paused_until: NOW,
      ...(reason === undefined ? {} : { reason }),
    }),
    resume: async ({ nodeName }) => ({ node_name: nodeName }),
    history: async ({ databaseId, nodeName }) => ({
      database_id: databaseId,
      node_name: nodeName,
      entries: [
        {
          epoch: 1,
          instance_id: `${databaseId}-n1-a`,
          host_id: "h1",
          timeline: 1,
          reason: "created",
          since: NOW,
        },
      ],
    }),
    explain: async ({ databaseId, nodeName }, { instanceIds, hostIds }) => ({
      database_id: databaseId,
      node_name: nodeName,
      cases: [
        {
          lost: [...instanceIds, ...hostIds],
          primary_instance_id: `${databaseId}-n1-b`,
          writes_stop_ms: 8_017,
          loses: "recent writes" as const,
          members: [{ instance_id: `${databaseId}-n1-b`, sentence: "taking over" }],
          sentence: `${databaseId}-n1-b would take over`,
        },
      ],
    }),
    topology: async (databaseId) => topologyOf(databaseId),
    putTopology: async ({ databaseId, ifRevision }) => changed(databaseId, ifRevision),
    planTopology: async ({ databaseId }) => nothingToDo(databaseId),
    slots: async ({ databaseId, nodeName }) => ({
      database_id: databaseId,
      node_name: nodeName,
      revision: 1,
      permanent: [{ name: "feed", type: "logical" }],
      instances: [
        {
          instance_id: `${databaseId}-n1-a`,
          host_id: "h1",
          role: "primary",
          slots: [
            {
              name: "feed",
              type: "logical",
              plugin: "pgoutput",
              database: "shop",
              owner: "permanent",
              active: true,
              used_by: "cdc (debezium) from 10.0.0.7, process 4711",
              restart_lsn: "0/3000028",
              confirmed_flush_lsn: "0/3000060",
              retained_bytes: 56,
              wal_status: "reserved",
              temporary: false,
              failover: true,
              synced: false,
            },
          ],
          seen_at: NOW,
        },
      ],
    }),
    changeSlots: async ({ databaseId, ifRevision }) => changed(databaseId, ifRevision),
    planSlots: async ({ databaseId }) => nothingToDo(databaseId),
    reload: async (place) => instanceTask("reload_instance", place),
    checkpoint: async (place) => instanceTask("checkpoint_instance", place),
    promote: async (place) => instanceTask("switchover", place),
    reinitialize: async (place) => instanceTask("reinitialize_instance", place),
    rewind: async (place) => instanceTask("rewind_instance", place),
  };
}

function nothingToDo(databaseId: string): PlanView {
  return {
    kind: "update",
    database_id: databaseId,
    generation: 2,
    steps: [],
    restarts: [],
    switchovers: [],
    write_gap_ms: {},
    text: "nothing to do\n",
  };
}

function topologyOf(databaseId: string): Topology {
  return {
    database_id: databaseId,
    revision: 1,
    as_of: NOW,
    nodes: [
      {
        name: "n1",
        state: "available",
        primary_instance_id: `${databaseId}-n1-a`,
        epoch: 1,
        timeline: 1,
        lease: { holder: `${databaseId}-n1-a`, phase: "open", ttl_ms: 8_000 },
        synchronous: {
          mode: "off",
          strict: false,
          count: 1,
          selection: "first",
          degrade_after: 10,
          standbys: [],
          degraded: false,
          warnings: [],
        },
        maximum_lag_on_failover: 1_048_576,
        instances: [
          {
            instance_id: `${databaseId}-n1-a`,
            host_id: "h1",
            role: "primary",
            state: "available",
            timeline: 1,
            lsn: "0/3000060",
            tags: {},
            seen_at: NOW,
          },
          {
            instance_id: `${databaseId}-n1-b`,
            host_id: "h2",
            role: "replica",
            state: "available",
            replication_state: "streaming",
            upstream: { instance_id: `${databaseId}-n1-a` },
            sync_state: "async",
            timeline: 1,
            lsn: "0/3000060",
            lag_bytes: 0,
            tags: {},
            seen_at: NOW,
          },
        ],
      },
    ],
  };
}
