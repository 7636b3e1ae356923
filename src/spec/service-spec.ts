// Extra services beside a database, and the options of orchestrators that can run them.
import { type Static, Type } from "@sinclair/typebox";
import type { Diagnostic } from "../base/result.ts";
import { checkSwarmOpts, SwarmOpts } from "../orchestrator/swarm/options.ts";
import { anyMap, closed, oneOf } from "./closed.ts";
import { Cpus, Identifier, ListenPort, Memory, Strings } from "./fields.ts";

export const OrchestratorOpts = closed({ swarm: Type.Optional(SwarmOpts) });
export type OrchestratorOpts = Static<typeof OrchestratorOpts>;

/** What the drivers object to in their options. */
export function checkOrchestratorOpts(
  opts: OrchestratorOpts | undefined,
  path: string,
  owner: "instance" | "service",
): readonly Diagnostic[] {
  return opts?.swarm === undefined ? [] : checkSwarmOpts(opts.swarm, `${path}.swarm`, owner);
}

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
