// Instances, and instances of services, as users see them.
import { type Static, Type } from "@sinclair/typebox";
import { closed, oneOf } from "./closed.ts";
import { Identifier, NodeName, Strings, Timestamp } from "./fields.ts";

export const INSTANCE_STATES = [
  "creating",
  "modifying",
  "deleting",
  "backing_up",
  "available",
  "degraded",
  "failed",
  "stopped",
  "unknown",
] as const;
export const InstanceState = oneOf(INSTANCE_STATES);
export type InstanceState = Static<typeof InstanceState>;

export const InstanceConnectionInfo = closed({
  addresses: Type.Optional(Strings),
  port: Type.Optional(Type.Integer({ format: "int64" })),
});
export type InstanceConnectionInfo = Static<typeof InstanceConnectionInfo>;

export const InstancePostgresStatus = closed({
  version: Type.Optional(Type.String()),
  patroni_state: Type.Optional(Type.String()),
  role: Type.Optional(Type.String()),
  pending_restart: Type.Optional(Type.Boolean()),
  patroni_paused: Type.Optional(Type.Boolean()),
});
export type InstancePostgresStatus = Static<typeof InstancePostgresStatus>;

export const InstanceSubscription = closed({
  provider_node: NodeName,
  name: Type.String(),
  status: Type.String(),
});
export type InstanceSubscription = Static<typeof InstanceSubscription>;

export const InstanceSpockStatus = closed({
  read_only: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  subscriptions: Type.Optional(Type.Array(InstanceSubscription)),
});
export type InstanceSpockStatus = Static<typeof InstanceSpockStatus>;

export const Instance = closed({
  id: Type.String(),
  host_id: Type.String(),
  node_name: Type.String(),
  created_at: Timestamp,
  updated_at: Timestamp,
  status_updated_at: Type.Optional(Timestamp),
  state: InstanceState,
  /** Absent while the instance cannot be reached over TCP. */
  connection_info: Type.Optional(InstanceConnectionInfo),
  postgres: Type.Optional(InstancePostgresStatus),
  spock: Type.Optional(InstanceSpockStatus),
  error: Type.Optional(Type.String()),
});
export type Instance = Static<typeof Instance>;

export const PortMapping = closed({
  name: Type.String(),
  container_port: Type.Optional(Type.Integer({ format: "int64", minimum: 1, maximum: 65535 })),
  host_port: Type.Optional(Type.Integer({ format: "int64", minimum: 1, maximum: 65535 })),
});
export type PortMapping = Static<typeof PortMapping>;

export const HealthCheckResult = closed({
  status: oneOf(["healthy", "unhealthy", "unknown"]),
  message: Type.Optional(Type.String()),
  checked_at: Timestamp,
});
export type HealthCheckResult = Static<typeof HealthCheckResult>;

export const ServiceInstanceStatus = closed({
  container_id: Type.Optional(Type.String()),
  image_version: Type.Optional(Type.String()),
  addresses: Type.Optional(Strings),
  ports: Type.Optional(Type.Array(PortMapping)),
  health_check: Type.Optional(HealthCheckResult),
  last_health_at: Type.Optional(Timestamp),
  service_ready: Type.Optional(Type.Boolean()),
});
export type ServiceInstanceStatus = Static<typeof ServiceInstanceStatus>;

export const ServiceInstance = closed({
  service_instance_id: Type.String(),
  service_id: Type.String(),
  database_id: Identifier,
  host_id: Type.String(),
  state: oneOf(["creating", "running", "failed", "deleting"]),
  status: Type.Optional(ServiceInstanceStatus),
  created_at: Timestamp,
  updated_at: Timestamp,
  error: Type.Optional(Type.String()),
});
export type ServiceInstance = Static<typeof ServiceInstance>;
