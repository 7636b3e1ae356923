// Everything a user can ask of the control plane, one method per verb. The HTTP layer calls this and nothing else.

import type { AddHostRequest, AddHostResponse } from "../spec/add-host.ts";
import type {
  Cluster,
  ClusterJoinToken,
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  JoinOptionsRequest,
  JoinOptionsResponse,
  JoinTokenInfo,
  RecoverQuorumResponse,
  RotateCertificatesResponse,
} from "../spec/cluster.ts";
import type {
  CreateDatabaseRequest,
  CreateDatabaseResponse,
  Database,
  DatabaseSummary,
  DeleteDatabaseResponse,
  UpdateDatabaseRequest,
  UpdateDatabaseResponse,
} from "../spec/database.ts";
import type { Host, MaintenanceRequest, UpdateHostRequest } from "../spec/host.ts";
import type { HostDoctorResponse } from "../spec/host-doctor.ts";
import type { PlanView } from "../spec/plan-view.ts";
import type {
  RemoveHostResponse,
  ReplaceHostRequest,
  ReplaceHostResponse,
} from "../spec/requests.ts";
import type { Task, TaskLog, TaskScope } from "../spec/task.ts";
import type { NodeOperations } from "./node-operations.ts";

export interface TaskPage {
  readonly afterTaskId?: string;
  /** 0 or absent = no limit */
  readonly limit?: number;
  readonly order: "asc" | "desc";
}

export interface LogPage {
  readonly afterEntryId?: string;
  /** Newest entries only; 0 or absent = no limit */
  readonly limit?: number;
}

/** One entry of a followed log, with the id to continue after. */
export interface LogEvent {
  readonly kind: "entry" | "end";
  readonly entryId: string;
  readonly timestamp: string;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  /** On "end": the task's final status. */
  readonly status?: string;
}

/** All methods throw OperationError (operations/errors.ts) for declared errors. */
export interface Operations {
  initialised(): boolean;
  initCluster(clusterId?: string): Promise<ClusterJoinToken>;
  /** Resolves when this server is a healthy member. */
  joinCluster(request: ClusterJoinToken): Promise<void>;
  /** Answers a host that joins. */
  admit(request: JoinOptionsRequest): Promise<JoinOptionsResponse>;
  getCluster(): Promise<Cluster>;
  joinToken(): Promise<ClusterJoinToken>;
  recoverQuorum(): Promise<RecoverQuorumResponse>;
  rotateCertificates(): Promise<RotateCertificatesResponse>;
  /** An SQLite file. */
  backup(): Promise<Response>;
  restore(file: Uint8Array): Promise<void>;
  listJoinTokens(): Promise<readonly JoinTokenInfo[]>;
  createJoinToken(request: CreateJoinTokenRequest): Promise<CreateJoinTokenResponse>;
  revokeJoinToken(tokenId: string): Promise<JoinTokenInfo>;
  /** Those that all selectors choose, see spec/host-labels.ts. */
  listHosts(selectors?: readonly string[]): Promise<readonly Host[]>;
  getHost(hostId: string): Promise<Host>;
  updateHost(hostId: string, request: UpdateHostRequest): Promise<Host>;
  startMaintenance(hostId: string, request: MaintenanceRequest): Promise<Host>;
  endMaintenance(hostId: string): Promise<Host>;
  replaceHost(hostId: string, request: ReplaceHostRequest): Promise<ReplaceHostResponse>;
  hostDoctor(hostId: string): Promise<HostDoctorResponse>;
  /** The machine is looked at before this resolves; a task makes it a host. */
  addHost(request: AddHostRequest): Promise<AddHostResponse>;
  removeHost(hostId: string, force: boolean): Promise<RemoveHostResponse>;
  listDatabases(): Promise<readonly DatabaseSummary[]>;
  getDatabase(databaseId: string): Promise<Database>;
  createDatabase(
    request: CreateDatabaseRequest,
    idempotencyKey?: string,
  ): Promise<CreateDatabaseResponse>;
  planCreate(request: CreateDatabaseRequest): Promise<PlanView>;
  updateDatabase(
    databaseId: string,
    request: UpdateDatabaseRequest,
    forceUpdate: boolean,
    /** Hosts that are gone. */
    removeHosts?: readonly string[],
  ): Promise<UpdateDatabaseResponse>;
  planUpdate(
    databaseId: string,
    request: UpdateDatabaseRequest,
    forceUpdate: boolean,
    removeHosts?: readonly string[],
  ): Promise<PlanView>;
  deleteDatabase(databaseId: string, force: boolean): Promise<DeleteDatabaseResponse>;
  planDelete(databaseId: string, force: boolean): Promise<PlanView>;
  restartInstance(databaseId: string, instanceId: string, scheduledAt?: string): Promise<Task>;
  stopInstance(databaseId: string, instanceId: string, force: boolean): Promise<Task>;
  startInstance(databaseId: string, instanceId: string, force: boolean): Promise<Task>;
  /** High availability. */
  readonly nodes: NodeOperations;
  /** Without scope: all tasks, newest first by default. */
  listTasks(
    scope: TaskScope | undefined,
    entityId: string | undefined,
    page: TaskPage,
  ): Promise<readonly Task[]>;
  getTask(scope: TaskScope, entityId: string, taskId: string): Promise<Task>;
  taskLog(scope: TaskScope, entityId: string, taskId: string, page: LogPage): Promise<TaskLog>;
  /** Entries as they come, ending with one "end" event when the task is final. */
  followTaskLog(
    scope: TaskScope,
    entityId: string,
    taskId: string,
    afterEntryId: string | undefined,
    signal: AbortSignal,
  ): AsyncIterable<LogEvent>;
  cancelTask(databaseId: string, taskId: string): Promise<Task>;
  /** Ready to serve: the store answers. Returns what is not ready. */
  readiness(): Promise<readonly string[]>;
}
