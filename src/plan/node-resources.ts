// The resources that a node has once, whatever the number of its instances: scripts, roles, the database.
import type { DesiredInput, InstanceDraft } from "./draft.ts";
import {
  type DatabaseInputs,
  type RolesInputs,
  rolesInputs,
  type ScriptInputs,
  type SlotsInputs,
} from "./inputs.ts";
import { roleInputs, scriptDigest } from "./requests.ts";
import type { Resource, ResourceKey } from "./resource.ts";

/** The script as zero or one resource: none once the database was available, and none without statements. */
export function scriptResource(
  draft: InstanceDraft,
  script: ScriptInputs["script"],
  dependsOn: readonly ResourceKey[],
): readonly Resource[] {
  const { spec, wasAvailable } = draft.input;
  const statements = spec.scripts?.[script] ?? [];
  if (wasAvailable || statements.length === 0) return [];
  const inputs: ScriptInputs = {
    script,
    database: script === "post_init" ? "postgres" : spec.database_name,
    statements: statements.length,
    digest: scriptDigest(statements),
  };
  const id = `${nodeId(draft)}-${script}`;
  return [{ ...common(draft), kind: "database.script", id, inputs, dependsOn }];
}

export function rolesResource(draft: InstanceDraft, dependsOn: readonly ResourceKey[]): Resource {
  return { ...common(draft), kind: "database.roles", inputs: draft.shared.roles, dependsOn };
}

/** The roles of every node. */
export function rolesOf(input: DesiredInput): RolesInputs {
  const users = input.spec.database_users ?? [];
  return { roles: users.map(roleInputs), disabled: disabledRoles(input) };
}

export function databaseResource(
  draft: InstanceDraft,
  dependsOn: readonly ResourceKey[],
): Resource {
  const { spec } = draft.input;
  const spock = draft.bin.spock_version === null ? [] : ["spock"];
  const inputs: DatabaseInputs = {
    name: spec.database_name,
    owner: spec.database_users?.find(({ db_owner }) => db_owner === true)?.username ?? null,
    extensions: [...new Set([...spock, ...(spec.extensions ?? [])])],
  };
  return { ...common(draft), kind: "database.postgres_database", inputs, dependsOn };
}

/** None where the node has no permanent slots and never had any: a last one that is taken away has to be dropped. */
export function slotsResource(
  draft: InstanceDraft,
  dependsOn: readonly ResourceKey[],
): readonly Resource[] {
  const { input, node } = draft;
  const had = input.stored.some(
    ({ kind, nodeName }) => kind === "database.slots" && nodeName === node.name,
  );
  if (node.slots.length === 0 && !had) return [];
  const inputs: SlotsInputs = { slots: [...node.slots] };
  return [{ ...common(draft), kind: "database.slots", inputs, dependsOn }];
}

/** Users that were in an earlier spec and are not in this one, if the spec wants them to lose LOGIN. */
function disabledRoles({ spec, stored }: DesiredInput): string[] {
  if (spec.disable_removed_users !== true) return [];
  const present = new Set((spec.database_users ?? []).map(({ username }) => username));
  const earlier = stored
    .filter(({ kind }) => kind === "database.roles")
    .map(rolesInputs)
    .flatMap(({ roles, disabled }) => [...roles.map(({ name }) => name), ...disabled]);
  return [...new Set(earlier)].filter((name) => !present.has(name)).sort();
}

function nodeId(draft: InstanceDraft): string {
  return `${draft.input.databaseId}-${draft.node.name}`;
}

function common(draft: InstanceDraft): Pick<Resource, "id" | "hostId" | "instanceId" | "nodeName"> {
  return {
    id: nodeId(draft),
    hostId: draft.host.id,
    instanceId: draft.id,
    nodeName: draft.node.name,
  };
}
