// GET /v1/databases/{id}/topology: leases, members and reports as one picture, with its age.
import { rfc3339 } from "../base/clock.ts";
import { isElectable } from "../ha/quorum.ts";
import type { HaMember } from "../ha/settings.ts";
import { judge } from "../plan/successor.ts";
import { parseLsn } from "../postgres/lsn.ts";
import { parseVersion, synchronousFlaw } from "../postgres/version.ts";
import { resolveNodes } from "../spec/normalise.ts";
import type { Synchronous, Topology, TopologyInstance, TopologyNode } from "../spec/topology.ts";
import { type DatabaseRecord, loadDatabase } from "../store/databases.ts";
import { listOpenIntents, type StoredIntent } from "../store/ha-intents.ts";
import type { ObservedInstance } from "../store/instances.ts";
import type { OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { type NodeView, primaryOf, standbysOf, viewNodes } from "./node-view.ts";
import { instanceState } from "./present-instance.ts";
import { runtimeOf } from "./runtime.ts";

/** All nodes of the spec, with everything that is known of their instances. */
export async function getTopology(deps: OperationsDeps, databaseId: string): Promise<Topology> {
  const { store, sealer } = runtimeOf(deps);
  const [record, views, intents] = await Promise.all([
    loadDatabase(store.display, sealer, databaseId),
    viewNodes(store.display, databaseId),
    listOpenIntents(store.display, databaseId),
  ]);
  if (!record) throw new OperationError("not_found", `database ${databaseId} does not exist`);
  const nowMs = deps.clock.nowMs();
  return {
    database_id: databaseId,
    revision: record.generation,
    as_of: rfc3339(nowMs),
    nodes: resolveNodes(record.spec).map((node) => {
      const view = views.get(node.name) ?? emptyView(node.name);
      const pause = pauseOf(intents, node.name, nowMs);
      return presentNode({ view, record, pause, nowMs });
    }),
  };
}

/** The pause that is in force on a node. */
export function pauseOf(
  intents: readonly StoredIntent[],
  nodeName: string,
  nowMs: number,
): StoredIntent | undefined {
  return intents
    .filter(({ payload, nodeName: name }) => payload.kind === "pause" && name === nodeName)
    .filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs)
    .toSorted((a, b) => (b.expiresAtMs ?? Infinity) - (a.expiresAtMs ?? Infinity))[0];
}

interface Shown {
  readonly view: NodeView;
  readonly record: DatabaseRecord;
  readonly pause: StoredIntent | undefined;
  readonly nowMs: number;
}

function presentNode({ view, record, pause, nowMs }: Shown): TopologyNode {
  const { lease, instances, name } = view;
  const primary = primaryOf(view, nowMs) ?? lonePrimary(view, nowMs);
  const shown = instances.map((instance) => presentMember(view, instance, primary, nowMs));
  const isWhole = shown.every(
    ({ state, role, replication_state }) =>
      state === "available" && (role === "primary" || replication_state === "streaming"),
  );
  const settings = resolveNodes(record.spec).find((node) => node.name === name)?.ha;
  return {
    name,
    state: primary === undefined ? "no_primary" : isWhole ? "available" : "degraded",
    ...(primary === undefined ? {} : { primary_instance_id: primary.id }),
    ...(lease
      ? {
          epoch: lease.epoch,
          timeline: lease.timeline,
          lease: {
            ...(lease.holder === null ? {} : { holder: lease.holder }),
            phase: lease.phase,
            ttl_ms: lease.ttl_ms,
          },
        }
      : {}),
    ...(pause?.expiresAtMs ? { paused_until: rfc3339(pause.expiresAtMs) } : {}),
    ...(pause?.reason ? { pause_reason: pause.reason } : {}),
    synchronous: presentSynchronous(view, record),
    maximum_lag_on_failover: settings?.maximum_lag_bytes ?? 0,
    instances: shown,
  };
}

/** How commits of a node wait, as it is wanted and as it is. */
export function presentSynchronous(view: NodeView, record: DatabaseRecord): Synchronous {
  const settings = resolveNodes(record.spec).find(({ name }) => name === view.name)?.ha;
  const { mode, strict, count, selection, degrade_after_ms } = settings?.synchronous ?? {
    mode: "off",
    strict: false,
    count: 1,
    selection: "first",
    degrade_after_ms: 0,
  };
  const sync = view.lease?.sync;
  const standbys = sync?.mode === "on" ? [...sync.voters] : [];
  const inForce = sync !== undefined && standbys.length > 0 && isElectable(sync);
  return {
    mode,
    strict,
    count,
    selection,
    degrade_after: Math.round(degrade_after_ms / 1_000),
    standbys,
    degraded: mode !== "off" && !(inForce && sync.count >= count),
    warnings: mode === "off" ? [] : flawsOf(view),
  };
}

/** Known flaws of the releases that run. */
function flawsOf({ instances }: NodeView): string[] {
  return instances.flatMap(({ id, report }) => {
    const version = parseVersion(report?.postgres_version ?? "");
    const flaw = version && synchronousFlaw(version);
    return flaw === undefined ? [] : [`${id}: ${flaw}`];
  });
}

function presentMember(
  view: NodeView,
  instance: ObservedInstance,
  primary: ObservedInstance | undefined,
  nowMs: number,
): TopologyInstance {
  const { report, id, hostId } = instance;
  const member = view.members.get(id);
  const lsn = member?.receive_lsn ?? report?.receive_lsn ?? report?.lsn;
  const timeline = member?.timeline ?? report?.timeline;
  const isPrimary = id === primary?.id;
  const tags = view.group?.members.find(({ instance_id }) => instance_id === id)?.tags ?? {};
  const unfit = isPrimary ? undefined : problemOf(view, id, nowMs);
  const lag = isPrimary ? undefined : lagOf(lsn, primary?.report?.lsn ?? view.lease?.optime);
  return {
    instance_id: id,
    host_id: hostId,
    role: report?.role ?? "unknown",
    state: instanceState(instance.state, report, nowMs),
    ...(report?.replication_state === undefined
      ? {}
      : { replication_state: report.replication_state }),
    ...upstreamOf(isPrimary ? null : member?.upstream),
    ...syncStateOf(view, id, isPrimary),
    ...(timeline === undefined || timeline === null ? {} : { timeline }),
    ...(lsn ? { lsn } : {}),
    ...(lag === undefined ? {} : { lag_bytes: lag }),
    tags: shownTags(tags, view),
    ...(unfit === undefined ? {} : { unfit }),
    ...(report ? { seen_at: rfc3339(report.observed_at_ms) } : {}),
  };
}

function upstreamOf(upstream: string | null | undefined): Pick<TopologyInstance, "upstream"> {
  return upstream ? { upstream: { instance_id: upstream } } : {};
}

function syncStateOf(
  view: NodeView,
  id: string,
  isPrimary: boolean,
): Pick<TopologyInstance, "sync_state"> {
  if (isPrimary || view.group === undefined) return {};
  const waitsFor = view.lease?.sync.mode === "on" && view.lease.sync.voters.includes(id);
  if (!waitsFor) return { sync_state: "async" };
  const byQuorum = view.group.settings.synchronous.mode === "quorum";
  return { sync_state: byQuorum ? "quorum" : "sync" };
}

/** Tags name instances to keepers; users named hosts. */
function shownTags(
  tags: HaMember["tags"],
  view: NodeView,
): Record<string, string | number | boolean> {
  const { replicatefrom, ...others } = tags;
  const upstream = view.instances.find(({ id }) => id === replicatefrom);
  return upstream === undefined ? { ...others } : { ...others, replicatefrom: upstream.hostId };
}

function problemOf(view: NodeView, id: string, nowMs: number): string | undefined {
  if (view.group === undefined) return undefined;
  const [judged] = judge(
    standbysOf(view, nowMs).filter(({ instanceId }) => instanceId === id),
    {
      lease: view.lease,
      maximumLagBytes: view.group.settings.maximum_lag_bytes,
      anyLag: false,
    },
  );
  return judged?.problem;
}

function lagOf(
  own: string | null | undefined,
  primary: string | null | undefined,
): number | undefined {
  const [behind, ahead] = [own, primary].map((text) => (text ? parseLsn(text) : undefined));
  if (behind === undefined || ahead === undefined) return undefined;
  return ahead > behind ? Number(ahead - behind) : 0;
}

/** A node of one instance has no lease: its instance says itself that it is primary. */
function lonePrimary({ group, instances }: NodeView, nowMs: number): ObservedInstance | undefined {
  const [only] = instances;
  if (group !== undefined || only?.report?.role !== "primary") return undefined;
  return instanceState(only.state, only.report, nowMs) === "unknown" ? undefined : only;
}

function emptyView(name: string): NodeView {
  return { name, instances: [], lease: undefined, members: new Map(), group: undefined };
}
