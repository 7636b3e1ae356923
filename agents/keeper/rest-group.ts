// What Patroni's API says of a group of instances: who leads, who counts as synchronous, the members, the history.
// Pure; answers follow the lease's deadline at the moment of the request, whatever the keeper's loop does.
import { rfc3339Millis } from "../../src/base/clock.ts";
import type { PastEpoch } from "../../src/ha/lease.ts";
import type { HaMember, HaSettings, HaTags } from "../../src/ha/settings.ts";
import { type GroupView, isDue, type MemberState, type MemberStatus } from "../../src/ha/state.ts";
import { formatLsn, parseLsn } from "../../src/postgres/lsn.ts";
import type { RestJson } from "./rest-value.ts";

/** The group as this member knows it now. */
export interface RestGroup {
  readonly view: GroupView;
  /** Oldest first. */
  readonly history: readonly PastEpoch[];
  readonly state: MemberState;
  /** Boot clock of this moment. */
  readonly bootMs: number;
}

/** Whether this member holds the lease at this moment. */
export function holdsLease({ view, bootMs }: RestGroup): boolean {
  return view.own !== null && bootMs < view.own.deadlineMs;
}

/** Whether users may write here at this moment: the lease is held, and the gate is open. */
export function isOpenPrimary(group: RestGroup): boolean {
  return holdsLease(group) && group.view.own?.row.phase === "open" && group.state !== "draining";
}

/** Nothing happens by itself. */
export function isPaused({ view }: RestGroup): boolean {
  return view.intents.some((each) => each.payload.kind === "pause" && isDue(each, view.wallMs));
}

/** Nobody holds the lease, as far as this member knows. */
export function isUnlocked({ view }: RestGroup): boolean {
  return (view.lease?.row?.holder ?? null) === null;
}

export function isFailsafe({ view }: RestGroup): boolean {
  return view.own?.failsafe === true;
}

/** What a commit waits for: every listed standby, or enough of them. */
export function syncKind(group: RestGroup, instanceId: string): "sync" | "quorum" | undefined {
  const record = group.view.lease?.row?.sync;
  if (record?.mode !== "on" || !record.voters.includes(instanceId)) return undefined;
  return group.view.settings.synchronous.mode === "quorum" ? "quorum" : "sync";
}

export function tagsOf({ view }: RestGroup, instanceId = view.self): HaTags {
  return view.members.find(({ instance_id }) => instance_id === instanceId)?.tags ?? {};
}

/** The holder's last known position. */
export function optimeOf({ view }: RestGroup): bigint | undefined {
  const optime = view.lease?.row?.optime;
  return optime === null || optime === undefined ? undefined : parseLsn(optime);
}

/** Names of the members with the addresses of their APIs. */
export function memberUrls({ view }: RestGroup): Readonly<Record<string, string>> {
  return Object.fromEntries(view.members.map((member) => [member.instance_id, apiUrl(member)]));
}

/** The members of /cluster, sorted by name; `self` is what this member knows of itself. */
export function membersJson(
  group: RestGroup,
  self: { readonly [key: string]: RestJson | undefined },
): readonly RestJson[] {
  const { view } = group;
  const holder = view.lease?.row?.holder ?? null;
  return [...view.members]
    .sort((a, b) => (a.instance_id < b.instance_id ? -1 : 1))
    .map((member) => {
      const { instance_id: name, addresses, port, tags } = member;
      const leader = name === holder;
      const kind = syncKind(group, name);
      const role = leader ? "leader" : kind ? `${kind}_standby` : "replica";
      const known =
        name === view.self ? self : ofStatus(group, view.others.get(name)?.status, leader);
      return {
        name,
        role,
        state: "stopped",
        api_url: apiUrl(member),
        host: addresses[0] ?? "",
        port,
        ...known,
        ...(Object.keys(tags).length === 0 ? {} : { tags: { ...tags } }),
      };
    });
}

function ofStatus(group: RestGroup, status: MemberStatus | undefined, leader: boolean) {
  if (!status) return { state: "unknown", ...(leader ? {} : unknownLag) };
  const state = status.role === "standby" && status.streaming ? "streaming" : stateText(status);
  const timeline = status.timeline === null ? {} : { timeline: status.timeline };
  if (leader) return { state, ...timeline };
  const received = status.receive_lsn === null ? undefined : parseLsn(status.receive_lsn);
  const replayed = status.replay_lsn === null ? undefined : parseLsn(status.replay_lsn);
  return { state, ...timeline, ...lagsJson(group, received, replayed) };
}

/** Patroni's word for what a member does. */
function stateText({ state, role }: MemberStatus): string {
  if (role !== "none") return "running";
  switch (state) {
    case "bootstrapping":
      return "initializing new cluster";
    case "cloning":
    case "rewinding":
      return "creating replica";
    case "changing":
      return "starting";
    default:
      return "stopped";
  }
}

const unknownLag = {
  receive_lsn: "unknown",
  receive_lag: "unknown",
  replay_lsn: "unknown",
  replay_lag: "unknown",
  lsn: "unknown",
  lag: "unknown",
} as const;

/** Positions of a standby and how far they are behind the leader's last known one. */
export function lagsJson(
  group: RestGroup,
  received: bigint | undefined,
  replayed: bigint | undefined,
) {
  const end = optimeOf(group);
  const lag = (lsn: bigint | undefined) => {
    if (lsn === undefined || end === undefined) return "unknown";
    return end > lsn ? end - lsn : 0n;
  };
  const text = (lsn: bigint | undefined) => (lsn === undefined ? "unknown" : formatLsn(lsn));
  return {
    receive_lsn: text(received),
    receive_lag: lag(received),
    replay_lsn: text(replayed),
    replay_lag: lag(replayed),
    lsn: text(replayed),
    lag: lag(replayed),
  };
}

/** The switchover that waits for its time, as /cluster shows it. */
export function scheduledSwitchover({ view }: RestGroup): RestJson | undefined {
  for (const { payload, not_before_ms } of view.intents) {
    if (not_before_ms === null || not_before_ms <= view.wallMs) continue;
    if (payload.kind !== "switchover" && payload.kind !== "failover") continue;
    return {
      at: rfc3339Millis(not_before_ms).replace("Z", "+00:00"),
      ...("from" in payload && payload.from !== null ? { from: payload.from } : {}),
      ...(payload.to === null ? {} : { to: payload.to }),
    };
  }
  return undefined;
}

/** Rows of /history: where each timeline was left, why, and who led the next. */
export function historyJson({ history }: RestGroup): RestJson {
  return history.flatMap(({ from_timeline, switch_lsn, reason, instance_id, at_ms }) =>
    from_timeline === null || switch_lsn === null
      ? []
      : [
          [
            from_timeline,
            parseLsn(switch_lsn) ?? null,
            reason,
            rfc3339Millis(at_ms).replace("Z", "+00:00"),
            instance_id,
          ],
        ],
  );
}

/** Patroni's names for the settings of the group. */
export function settingsJson(settings: HaSettings, paused: boolean) {
  const { synchronous } = settings;
  const { mode } = synchronous;
  return {
    ttl: settings.ttl_ms / 1_000,
    loop_wait: settings.loop_ms / 1_000,
    retry_timeout: settings.retry_ms / 1_000,
    maximum_lag_on_failover: settings.maximum_lag_bytes,
    primary_start_timeout: settings.primary_start_timeout_ms / 1_000,
    primary_stop_timeout: settings.primary_stop_timeout_ms / 1_000,
    failsafe_mode: settings.failsafe,
    synchronous_mode: mode === "quorum" ? "quorum" : mode !== "off",
    synchronous_mode_strict: synchronous.strict,
    synchronous_node_count: synchronous.count,
    ...(paused ? { pause: true } : {}),
  };
}

function apiUrl({ addresses, rest_port }: HaMember): string {
  const host = addresses[0] ?? "localhost";
  return `http://${host.includes(":") ? `[${host}]` : host}:${rest_port}/patroni`;
}
