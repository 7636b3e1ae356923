// Every named schema of the API, for the document that describes it.
import type { TSchema } from "@sinclair/typebox";
import { ExtraNetworkSpec, ExtraVolumesSpec, SwarmOpts } from "../orchestrator/swarm/options.ts";
import {
  AddHostRequest,
  AddHostResponse,
  HostJoin,
  LearnedHostKey,
  SshAccess,
  SshJump,
} from "./add-host.ts";
import { APIError, FieldError, FrameworkError } from "./api-error.ts";
import {
  BackupConfigSpec,
  BackupOptions,
  BackupRepositorySpec,
  BackupScheduleSpec,
  RestoreConfigSpec,
  RestoreRepositorySpec,
} from "./backup-spec.ts";
import {
  Cluster,
  ClusterCredentials,
  ClusterJoinOptions,
  ClusterJoinRequest,
  ClusterJoinToken,
  ClusterStatus,
  EtcdClusterMember,
} from "./cluster.ts";
import {
  ApplyUpgradeRequest,
  ApplyUpgradeResponse,
  AvailableUpgrade,
  CreateDatabaseRequest,
  CreateDatabaseResponse,
  Database,
  DatabaseSummary,
  DeleteDatabaseResponse,
  ListDatabasesResponse,
  RestoreDatabaseRequest,
  RestoreDatabaseResponse,
  UpdateDatabaseRequest,
  UpdateDatabaseResponse,
} from "./database.ts";
import {
  DatabaseNodeSpec,
  DatabaseScripts,
  DatabaseSpec,
  DatabaseUserSpec,
  SQLScript,
} from "./database-spec.ts";
import { HaSpec } from "./ha-spec.ts";
import {
  ComponentStatus,
  Host,
  HostCohort,
  HostSsh,
  HostStatus,
  ListHostsResponse,
  PgEdgeVersion,
} from "./host.ts";
import { HostDoctorResponse, HostFinding } from "./host-doctor.ts";
import {
  HealthCheckResult,
  Instance,
  InstanceConnectionInfo,
  InstancePostgresStatus,
  InstanceSpockStatus,
  InstanceSubscription,
  PortMapping,
  ServiceInstance,
  ServiceInstanceStatus,
} from "./instance.ts";
import { PlanChange, PlanStep, PlanView } from "./plan-view.ts";
import {
  BackupDatabaseNodeResponse,
  FailoverDatabaseNodeRequest2,
  FailoverDatabaseNodeResponse,
  RemoveHostResponse,
  RestartInstanceRequest,
  RestartInstanceResponse,
  StartInstanceResponse,
  StopInstanceResponse,
  SwitchoverDatabaseNodeRequestBody,
  SwitchoverDatabaseNodeResponse,
} from "./requests.ts";
import { DatabaseConnection, OrchestratorOpts, ServiceSpec } from "./service-spec.ts";
import {
  ListDatabaseTasksResponse,
  ListHostTasksResponse,
  ListTasksResponse,
  Task,
  TaskLog,
  TaskLogEntry,
} from "./task.ts";
import {
  LossCase,
  NodeExplanation,
  NodeHistory,
  NodeHistoryEntry,
  NodePause,
  PauseNodeRequest,
  ReinitializeRequest,
  Synchronous,
  SynchronousChange,
  Topology,
  TopologyChange,
  TopologyInstance,
  TopologyInstanceChange,
  TopologyNode,
  TopologyNodeChange,
  Upstream,
  UpstreamChange,
} from "./topology.ts";
import { VersionInfo } from "./version-info.ts";

/** Named as in the document. */
export const apiModels = {
  APIError,
  AddHostRequest,
  AddHostResponse,
  ApplyUpgradeRequest,
  ApplyUpgradeResponse,
  AvailableUpgrade,
  BackupConfigSpec,
  BackupDatabaseNodeResponse,
  BackupOptions,
  BackupRepositorySpec,
  BackupScheduleSpec,
  Cluster,
  ClusterCredentials,
  ClusterJoinOptions,
  ClusterJoinRequest,
  ClusterJoinToken,
  ClusterStatus,
  ComponentStatus,
  CreateDatabaseRequest,
  CreateDatabaseResponse,
  Database,
  DatabaseConnection,
  DatabaseNodeSpec,
  DatabaseScripts,
  DatabaseSpec,
  DatabaseSummary,
  DatabaseUserSpec,
  DeleteDatabaseResponse,
  EtcdClusterMember,
  ExtraNetworkSpec,
  ExtraVolumesSpec,
  FailoverDatabaseNodeRequest2,
  FailoverDatabaseNodeResponse,
  FieldError,
  FrameworkError,
  HaSpec,
  HealthCheckResult,
  Host,
  HostCohort,
  HostDoctorResponse,
  HostFinding,
  HostJoin,
  HostSsh,
  HostStatus,
  Instance,
  InstanceConnectionInfo,
  InstancePostgresStatus,
  InstanceSpockStatus,
  InstanceSubscription,
  LearnedHostKey,
  ListDatabaseTasksResponse,
  ListDatabasesResponse,
  ListHostTasksResponse,
  ListHostsResponse,
  ListTasksResponse,
  LossCase,
  NodeExplanation,
  NodeHistory,
  NodeHistoryEntry,
  NodePause,
  OrchestratorOpts,
  PauseNodeRequest,
  PgEdgeVersion,
  PlanChange,
  PlanStep,
  PlanView,
  PortMapping,
  ReinitializeRequest,
  RemoveHostResponse,
  RestartInstanceRequest,
  RestartInstanceResponse,
  RestoreConfigSpec,
  RestoreDatabaseRequest,
  RestoreDatabaseResponse,
  RestoreRepositorySpec,
  SQLScript,
  ServiceInstance,
  ServiceInstanceStatus,
  ServiceSpec,
  SshAccess,
  SshJump,
  StartInstanceResponse,
  StopInstanceResponse,
  SwarmOpts,
  SwitchoverDatabaseNodeRequestBody,
  SwitchoverDatabaseNodeResponse,
  Synchronous,
  SynchronousChange,
  Task,
  TaskLog,
  TaskLogEntry,
  Topology,
  TopologyChange,
  TopologyInstance,
  TopologyInstanceChange,
  TopologyNode,
  TopologyNodeChange,
  UpdateDatabaseRequest,
  UpdateDatabaseResponse,
  Upstream,
  UpstreamChange,
  VersionInfo,
} as const;

const names: ReadonlyMap<unknown, string> = new Map(
  Object.entries(apiModels).map(([name, schema]) => [identity(schema), name]),
);

/**
 * Name of the component that a schema is a use of. `Type.Optional` copies the schema it wraps, but
 * not what is inside, so the inside is what is compared.
 */
export function modelNameOf(schema: TSchema): string | undefined {
  return names.get(identity(schema));
}

function identity(schema: TSchema): unknown {
  return schema.properties ?? schema.items;
}
