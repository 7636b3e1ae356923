// Extra services beside a database, and the options of orchestrators that can run them.
import { type Static, Type } from "@sinclair/typebox";
import { anyMap, closed, mapOf, oneOf } from "./closed.ts";
import { Cpus, Identifier, ListenPort, Memory, Strings } from "./fields.ts";

export const ExtraVolumesSpec = closed({
  host_path: Type.String({ maxLength: 256 }),
  destination_path: Type.String({ maxLength: 256 }),
});
export type ExtraVolumesSpec = Static<typeof ExtraVolumesSpec>;

export const ExtraNetworkSpec = closed({
  id: Type.String(),
  aliases: Type.Optional(Type.Array(Type.String(), { maxItems: 8 })),
  driver_opts: Type.Optional(mapOf(Type.String())),
});
export type ExtraNetworkSpec = Static<typeof ExtraNetworkSpec>;

export const SwarmOpts = closed({
  extra_volumes: Type.Optional(Type.Array(ExtraVolumesSpec, { maxItems: 16 })),
  extra_networks: Type.Optional(Type.Array(ExtraNetworkSpec, { maxItems: 8 })),
  extra_labels: Type.Optional(mapOf(Type.String())),
  image: Type.Optional(Type.String()),
});
export type SwarmOpts = Static<typeof SwarmOpts>;

export const OrchestratorOpts = closed({ swarm: Type.Optional(SwarmOpts) });
export type OrchestratorOpts = Static<typeof OrchestratorOpts>;

export const DatabaseConnection = closed({
  target_nodes: Type.Optional(Strings),
  target_session_attrs: Type.Optional(
    oneOf(["primary", "prefer-standby", "standby", "read-write", "any"]),
  ),
});
export type DatabaseConnection = Static<typeof DatabaseConnection>;

export const ServiceSpec = closed({
  service_id: Identifier,
  service_type: oneOf(["mcp", "postgrest", "rag"]),
  version: Type.String({ pattern: "^(\\d+\\.\\d+(\\.\\d+)?|latest)$" }),
  host_ids: Type.Array(Identifier, { minItems: 1 }),
  /** Absent = not published. */
  port: Type.Optional(ListenPort),
  config: Type.Optional(anyMap()),
  cpus: Type.Optional(Cpus),
  memory: Type.Optional(Memory),
  orchestrator_opts: Type.Optional(OrchestratorOpts),
  database_connection: Type.Optional(DatabaseConnection),
  /** Username of one of the database's users. */
  connect_as: Type.String(),
});
export type ServiceSpec = Static<typeof ServiceSpec>;
