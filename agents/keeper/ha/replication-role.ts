// What of PostgreSQL's configuration follows from its part in the group: whom it receives from, whom its commits wait
// for, and whether users may come in. Laid over the planned configuration.
import type { RunGoal } from "../../../src/ha/action.ts";
import type { SyncSetting } from "../../../src/ha/quorum.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import type { PrimarySettings } from "../../../src/postgres/controldata.ts";
import { replicatorName, superuserName } from "../../../src/postgres/hba.ts";
import { type ReplicationRole, renderConninfo } from "../../../src/postgres/recovery.ts";
import { memberApplicationName, memberSlotName } from "../../../src/postgres/replication.ts";
import type { InstanceConfig, InstanceLayout } from "../../../src/spec/instance-config.ts";

/** A part in the group, as far as the configuration shows it. */
export interface GroupPart {
  /** Instance id; null = receives from nobody. */
  readonly upstream: string | null;
  /** undefined on a standby: it keeps what it has, which counts only when it is promoted. */
  readonly sync: SyncSetting | undefined;
  readonly gate: "open" | "closed";
  /** As the data was written; a standby must not have less. */
  readonly atLeast: PrimarySettings | undefined;
}

/** The part that a goal asks for; undefined for goals that leave the configuration alone. */
export function partOf(goal: RunGoal, atLeast: PrimarySettings | undefined): GroupPart | undefined {
  switch (goal.kind) {
    case "primary":
      return { upstream: null, sync: goal.sync, gate: goal.gate, atLeast: undefined };
    case "standby":
      return { upstream: goal.upstream, sync: undefined, gate: "open", atLeast };
    case "stopped":
    case "wait":
      return undefined;
  }
}

/**
 * Replies tell a primary that its standby lives; every 10 seconds, as by default, is too rare for that. A standby that
 * found nobody to receive from tries again soon: commits may wait for it.
 */
const FOR_MEMBERS = { wal_receiver_status_interval: "1s", wal_retrieve_retry_interval: "500ms" };

/** A name that no standby has: commits wait until the setting changes. */
const NOBODY = "pgherd_nobody";

/** synchronous_standby_names for a setting. */
export function renderSync(
  { standbys, count, blocked }: SyncSetting,
  selection: "any" | "first",
  systemIdentifier: string,
): string {
  if (blocked) return NOBODY;
  if (count === 0) return "";
  const names = standbys.map((id) => memberApplicationName(id, systemIdentifier)).join(", ");
  return `${selection === "first" ? "FIRST" : "ANY"} ${count} (${names})`;
}

/** The setting that a text asks for; undefined when it is not one of ours. */
export function parseSync(
  text: string,
  members: readonly string[],
  systemIdentifier: string,
): SyncSetting | undefined {
  if (text === "") return { standbys: [], count: 0, blocked: false };
  if (text === NOBODY) return { standbys: [], count: 0, blocked: true };
  const match = /^(?:ANY|FIRST) (\d+) \(([a-z0-9_, ]*)\)$/.exec(text);
  if (!match) return undefined;
  const byName = new Map(members.map((id) => [memberApplicationName(id, systemIdentifier), id]));
  const standbys = (match[2] ?? "").split(", ").map((name) => byName.get(name) ?? name);
  return { standbys: standbys.sort(), count: Number(match[1]), blocked: false };
}

/** The member that a conninfo leads to. */
export function upstreamIn(conninfo: string, members: readonly HaMember[]): string | null {
  const host = /(?:^|\s)host='([^']*)'/.exec(conninfo)?.[1];
  const port = Number(/(?:^|\s)port='(\d+)'/.exec(conninfo)?.[1]);
  if (host === undefined) return null;
  const found = members.find(
    (member) => member.addresses.join(",") === host && member.port === port,
  );
  return found?.instance_id ?? null;
}

export interface PartInput {
  readonly config: InstanceConfig;
  readonly layout: InstanceLayout;
  readonly systemIdentifier: string;
  /** What slots may keep for members that are away. */
  readonly slotLogBytes: number | undefined;
  /** Members that have to have a change before logical decoding shows it (17+). */
  readonly decodingWaitsFor: readonly string[];
  /** A member that follows may have copies of logical slots (17+). */
  readonly copySlots: boolean;
}

/** What follows from the part for the settings of replication. */
export function roleOfPart(part: GroupPart, input: PartInput): ReplicationRole {
  return {
    major: input.config.postgres_major,
    ...followOf(part, input),
    ...syncNamesOf(part, input),
    ...(part.atLeast ? { atLeast: part.atLeast } : {}),
    ...(input.slotLogBytes === undefined ? {} : { slotLogBytes: input.slotLogBytes }),
    copySlots: part.upstream !== null && input.copySlots,
    synchronizedStandbySlots:
      part.upstream === null ? input.decodingWaitsFor.map(memberSlotName) : [],
  };
}

/** The planned configuration with what follows from the part for everything else. */
export function configOfPart(part: GroupPart, config: InstanceConfig): InstanceConfig {
  return {
    ...config,
    parameters: { ...config.parameters, ...FOR_MEMBERS },
    hba: part.gate === "open" ? config.hba : gated(config.hba),
  };
}

function followOf(part: GroupPart, { config, layout, systemIdentifier }: PartInput) {
  const upstream = config.ha?.members.find(({ instance_id }) => instance_id === part.upstream);
  if (!upstream) return {};
  const conninfo = renderConninfo({
    upstream: { addresses: upstream.addresses, port: upstream.port },
    certificateDir: layout.certificate_dir,
    applicationName: memberApplicationName(config.instance_id, systemIdentifier),
    role: "replication",
    ...(config.postgres_major >= 17 ? { database: "postgres" } : {}),
  });
  return { follow: { conninfo, slot: memberSlotName(config.instance_id) } };
}

function syncNamesOf(part: GroupPart, { config, systemIdentifier }: PartInput) {
  if (!part.sync || !config.ha) return {};
  const { synchronous } = config.ha.settings;
  if (synchronous.mode === "off" && part.sync.count === 0 && !part.sync.blocked) return {};
  return {
    synchronousStandbyNames: renderSync(part.sync, synchronous.selection, systemIdentifier),
  };
}

/** The line after which others than the control plane's own roles come in. */
const OWN_END = `host replication ${superuserName},${replicatorName} all reject`;

/** Users are kept out; members and the keeper are let in. */
export function gated(hba: readonly string[]): readonly string[] {
  const end = hba.indexOf(OWN_END);
  const own = end < 0 ? hba.filter((line) => line.includes(superuserName)) : hba.slice(0, end + 1);
  return [...own, "local all all reject", "host all all all reject"];
}

/** Whether a text of pg_hba.conf keeps users out. */
export function isGated(text: string): boolean {
  return text.includes("\nhost all all all reject");
}
