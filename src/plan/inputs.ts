// What the inputs of each kind of resource hold: one schema is the type, and the check of what was stored.
// Inputs decide whether something changed, are shown by dry runs and stored in plans: no secret is ever in them.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../base/errors.ts";
import { closed, mapOf, oneOf } from "../spec/closed.ts";
import type { InstanceConfig } from "../spec/instance-config.ts";
import { type Resource, type ResourceKind, resourceKey } from "./resource.ts";

const Texts = Type.Array(Type.String());
const Port = Type.Union([Type.Integer(), Type.Null()]);

/** common.postgres_certs: the files of a certificate directory (names: InstanceLayout.certificate_dir). */
export const CertificateInputs = closed({
  directory: Type.String(),
  /** Owner of the files; null = the server's own user. */
  owner: Type.Union([Type.String(), Type.Null()]),
  /** Host names and addresses that the server certificate is for. */
  server_names: Texts,
});
export type CertificateInputs = Static<typeof CertificateInputs>;

/** How keepers of a group find each other and what they decide with; InstanceConfig.ha. */
const GroupInputs = closed({
  members: Type.Array(
    closed({
      instance_id: Type.String(),
      host_id: Type.String(),
      addresses: Texts,
      port: Type.Integer(),
      rest_port: Type.Integer(),
      tags: mapOf(Type.Union([Type.Boolean(), Type.Number(), Type.String()])),
    }),
  ),
  initial_primary: Type.String(),
  settings: closed({
    profile: oneOf(["default", "fast", "wide"]),
    ttl_ms: Type.Number(),
    loop_ms: Type.Number(),
    retry_ms: Type.Number(),
    guard_ms: Type.Number(),
    maximum_lag_bytes: Type.Number(),
    primary_start_timeout_ms: Type.Number(),
    primary_stop_timeout_ms: Type.Number(),
    failsafe: Type.Boolean(),
    synchronous: closed({
      mode: oneOf(["off", "on", "quorum", "auto"]),
      count: Type.Integer(),
      strict: Type.Boolean(),
      selection: oneOf(["any", "first"]),
      degrade_after_ms: Type.Number(),
    }),
  }),
});
export type GroupInputs = Static<typeof GroupInputs>;

const PermanentSlots = Type.Array(
  Type.Union([
    closed({ name: Type.String(), type: Type.Literal("physical") }),
    closed({
      name: Type.String(),
      type: Type.Literal("logical"),
      plugin: Type.String(),
      database: Type.String(),
    }),
  ]),
);

/** database.instance: an InstanceConfig without the two generations, which do not make it a different one. */
export const InstanceInputs = closed({
  instance_id: Type.String(),
  database_id: Type.String(),
  tenant_id: Type.Optional(Type.String()),
  node_name: Type.String(),
  host_id: Type.String(),
  database_name: Type.String(),
  postgres_major: Type.Integer(),
  /** As the spec has it; absent in what was stored before plans knew of minor upgrades. */
  postgres_version: Type.Optional(Type.String()),
  bin_dir: Type.String(),
  run: oneOf(["running", "stopped"]),
  port: Port,
  rest_port: Port,
  /** The verifier itself comes from the spec; the digest recognises it. */
  rest_authentication: Type.Optional(
    closed({ username: Type.String(), verifier_digest: Type.String() }),
  ),
  listen_addresses: Texts,
  connect_addresses: Texts,
  parameters: mapOf(Type.String()),
  hba: Texts,
  ident: Texts,
  /** Only where the node has, or had, several instances. */
  ha: Type.Optional(GroupInputs),
  /** Only where there are any. */
  slots: Type.Optional(PermanentSlots),
  /** The size that the parameters were computed for; kept while the host's own differs little. */
  tuned_for: closed({ memory_bytes: Type.Number(), cpus: Type.Number() }),
});
export type InstanceInputs = Static<typeof InstanceInputs>;

/** database.script: which script of the spec, recognised by its digest; the statements themselves stay in the spec. */
export const ScriptInputs = closed({
  script: oneOf(["post_init", "post_database_create"]),
  database: Type.String(),
  statements: Type.Integer(),
  digest: Type.String(),
});
export type ScriptInputs = Static<typeof ScriptInputs>;

/** One role; `verifier_digest` recognises the SCRAM verifier in the spec without telling it. */
export const RoleInputs = closed({
  name: Type.String(),
  attributes: Texts,
  member_of: Texts,
  verifier_digest: Type.Optional(Type.String()),
});
export type RoleInputs = Static<typeof RoleInputs>;

/** database.roles of one node. */
export const RolesInputs = closed({
  roles: Type.Array(RoleInputs),
  /** Roles that lose LOGIN because their users left the spec. */
  disabled: Texts,
});
export type RolesInputs = Static<typeof RolesInputs>;

/** database.postgres_database of one node. */
export const DatabaseInputs = closed({
  name: Type.String(),
  owner: Type.Union([Type.String(), Type.Null()]),
  extensions: Texts,
});
export type DatabaseInputs = Static<typeof DatabaseInputs>;

/** database.slots of one node: its permanent slots. */
export const SlotsInputs = closed({ slots: PermanentSlots });
export type SlotsInputs = Static<typeof SlotsInputs>;

/** monitor.instance: what a fresh report must agree with; a member is the primary or a standby that streams. */
export const MonitorInputs = closed({
  role: oneOf(["primary", "standby", "member"]),
  port: Port,
  rest_port: Port,
});
export type MonitorInputs = Static<typeof MonitorInputs>;

/** database.primary: never stored, since who is primary is no part of a spec. */
export const PrimaryInputs = closed({
  /** Who may become it; the best of them does. */
  candidates: Texts,
  /** Whatever the candidate lacks: the user agreed to lose it. */
  any_lag: Type.Boolean(),
});
export type PrimaryInputs = Static<typeof PrimaryInputs>;

export function primaryInputs(resource: Resource): PrimaryInputs {
  return parsed(PrimaryInputs, "database.primary", resource);
}

export function certificateInputs(resource: Resource): CertificateInputs {
  return parsed(CertificateInputs, "common.postgres_certs", resource);
}

export function instanceInputs(resource: Resource): InstanceInputs {
  return parsed(InstanceInputs, "database.instance", resource);
}

export function scriptInputs(resource: Resource): ScriptInputs {
  return parsed(ScriptInputs, "database.script", resource);
}

export function rolesInputs(resource: Resource): RolesInputs {
  return parsed(RolesInputs, "database.roles", resource);
}

export function databaseInputs(resource: Resource): DatabaseInputs {
  return parsed(DatabaseInputs, "database.postgres_database", resource);
}

export function slotsInputs(resource: Resource): SlotsInputs {
  return parsed(SlotsInputs, "database.slots", resource);
}

export function monitorInputs(resource: Resource): MonitorInputs {
  return parsed(MonitorInputs, "monitor.instance", resource);
}

/** What a step writes for the keeper: the inputs, the generation it leads to and whether it may restart PostgreSQL. */
export function instanceConfig(
  resource: Resource,
  generation: number,
  restarts: boolean,
): Omit<InstanceConfig, "rest_authentication"> {
  const inputs = instanceInputs(resource);
  const { tuned_for: _, postgres_version: __, rest_authentication: ___, ...config } = inputs;
  return {
    ...config,
    generation,
    restart_generation: restarts ? generation : 0,
  };
}

function parsed<S extends TSchema>(schema: S, kind: ResourceKind, resource: Resource): Static<S> {
  const { inputs } = resource;
  if (resource.kind === kind && Value.Check(schema, inputs)) return inputs;
  const problem = Value.Errors(schema, inputs).First();
  const where = problem ? ` at ${problem.path}: ${problem.message}` : "";
  throw new AppError("bug", `${resourceKey(resource)} is not a ${kind}${where}`);
}
