// What each node of a spec really is, after its own values and those of the database are put together.
import type { HaSettings, HaTags } from "../ha/settings.ts";
import type { PermanentSlot } from "../postgres/replication.ts";
import type { BackupConfigSpec, RestoreConfigSpec } from "./backup-spec.ts";
import type { DatabaseNodeSpec, DatabaseSpec, RestAuthenticationSpec } from "./database-spec.ts";
import { resolveHaSettings, resolveTags } from "./ha-settings.ts";
import { nodeOrdinal } from "./ids.ts";
import { parseCpus, parseMemory } from "./quantities.ts";
import type { OrchestratorOpts } from "./service-spec.ts";
import { resolveSlot } from "./slots.ts";

export type SettingValue = string | number | boolean;

/** A node with nothing left to look up. Absent limits and ports are absent here too. */
export interface ResolvedNode {
  readonly name: string;
  /** The number in the name. */
  readonly ordinal: number;
  /** The first is where the primary is created. */
  readonly hostIds: readonly string[];
  /** e.g. `17.11`; undefined only before applyDefaults. */
  readonly postgresVersion: string | undefined;
  /** undefined = no TCP; 0 = a port that is given once and kept. Never undefined with several hosts. */
  readonly port: number | undefined;
  /** Port of the REST API; the same meaning. */
  readonly patroniPort: number | undefined;
  /** With a verifier in the place of the password. */
  readonly restAuthentication: RestAuthenticationSpec | undefined;
  /** undefined = no limit. */
  readonly cpus: number | undefined;
  /** undefined = no limit. */
  readonly memoryBytes: number | undefined;
  /** Names in lower case, since PostgreSQL does not tell cases apart. */
  readonly postgresqlConf: Readonly<Record<string, SettingValue>>;
  /** The node's lines before the database's, because the first line that matches decides. */
  readonly pgHbaConf: readonly string[];
  readonly pgIdentConf: readonly string[];
  readonly backupConfig: BackupConfigSpec | undefined;
  /** undefined also where the node copies from a `sourceNode`. */
  readonly restoreConfig: RestoreConfigSpec | undefined;
  readonly orchestratorOpts: OrchestratorOpts | undefined;
  readonly sourceNode: string | undefined;
  /** What keepers of a node with several instances decide with. */
  readonly ha: HaSettings;
  /** By host id. */
  readonly tags: ReadonlyMap<string, HaTags>;
  /** By name. */
  readonly slots: readonly PermanentSlot[];
}

/**
 * The nodes of a spec in their order. Scalars and whole objects of a node replace the database's,
 * settings are merged name by name, lines of pg_hba.conf and pg_ident.conf are put in front.
 */
export function resolveNodes(spec: DatabaseSpec): readonly ResolvedNode[] {
  return spec.nodes.map((node) => resolveNode(spec, node));
}

function resolveNode(spec: DatabaseSpec, node: DatabaseNodeSpec): ResolvedNode {
  // Standbys and keepers of one node reach each other over TCP.
  const needed = node.host_ids.length > 1 ? 0 : undefined;
  return {
    name: node.name,
    ordinal: nodeOrdinal(node.name) ?? 0,
    hostIds: node.host_ids,
    postgresVersion: node.postgres_version ?? spec.postgres_version,
    port: node.port ?? spec.port ?? needed,
    patroniPort: node.patroni_port ?? spec.patroni_port ?? needed,
    restAuthentication: node.patroni_authentication ?? spec.patroni_authentication,
    cpus: limit(parseCpus, node.cpus ?? spec.cpus),
    memoryBytes: limit(parseMemory, node.memory ?? spec.memory),
    postgresqlConf: { ...settings(spec.postgresql_conf), ...settings(node.postgresql_conf) },
    pgHbaConf: [...(node.pg_hba_conf ?? []), ...(spec.pg_hba_conf ?? [])],
    pgIdentConf: [...(node.pg_ident_conf ?? []), ...(spec.pg_ident_conf ?? [])],
    backupConfig: node.backup_config ?? spec.backup_config,
    restoreConfig:
      node.source_node === undefined ? (node.restore_config ?? spec.restore_config) : undefined,
    orchestratorOpts: node.orchestrator_opts ?? spec.orchestrator_opts,
    sourceNode: node.source_node,
    ha: resolveHaSettings(spec.ha, node.ha),
    tags: resolveTags(node.host_ids, spec.ha, node.ha),
    slots: (node.slots ?? [])
      .map((slot) => resolveSlot(slot, spec.database_name))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** A setting's value that a configuration file can hold; anything else is refused by validate.ts. */
export function isSettingValue(value: unknown): value is SettingValue {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

function settings(
  conf: Readonly<Record<string, unknown>> | undefined,
): Record<string, SettingValue> {
  return Object.fromEntries(
    Object.entries(conf ?? {}).flatMap(([name, value]) =>
      isSettingValue(value) ? [[name.toLowerCase(), value] as const] : [],
    ),
  );
}

/** A quantity that was validated before; 0 is no limit. */
function limit(parse: typeof parseMemory, text: string | undefined): number | undefined {
  const parsed = text === undefined ? undefined : parse(text);
  return parsed?.ok && parsed.value > 0 ? parsed.value : undefined;
}
