// What the instances of one node are to each other: who began, who belongs to it, and by which settings it lives.
import { must } from "../base/assert.ts";
import type { HaSettings, HaTags } from "../ha/settings.ts";
import { instanceId } from "../spec/ids.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { DesiredInput, LoneDraft } from "./draft.ts";
import type { GroupInputs } from "./inputs.ts";
import { portsOf } from "./ports.ts";

/**
 * The instance that the node began on, or will: what is stored of it counts more than the order of the spec, so that
 * another order moves nothing. Once there is a lease, it alone says who is primary.
 */
export function homeOf({ databaseId, stored }: DesiredInput, node: ResolvedNode): string {
  const wanted: readonly string[] = node.hostIds.map((id) => instanceId(databaseId, node.name, id));
  const ofNode = stored.filter(
    ({ nodeName, instanceId: id }) =>
      nodeName === node.name && id !== undefined && wanted.includes(id),
  );
  const roles = ofNode.find(({ kind }) => kind === "database.roles");
  const made = wanted.find((id) =>
    ofNode.some((one) => one.kind === "database.instance" && one.id === id && isMade(one.state)),
  );
  return roles?.instanceId ?? made ?? must(wanted[0], `host of node ${node.name}`);
}

/** The group that the instances of a node form; undefined where there is one, and never was another. */
export function groupOf(
  { leased }: DesiredInput,
  drafts: readonly LoneDraft[],
  homeId: string,
): GroupInputs | undefined {
  const [first] = drafts;
  if (first === undefined || (drafts.length === 1 && !leased.has(first.node.name))) {
    return undefined;
  }
  return {
    members: drafts.map(memberOf),
    initial_primary: homeId,
    settings: settingsFor(first.node.ha, drafts.length - 1),
  };
}

/** An instance without ports, left alone by its standbys, is a member that nobody has to reach. */
function memberOf(draft: LoneDraft): GroupInputs["members"][number] {
  const { port, rest_port } = portsOf(draft);
  const { node, host, id } = draft;
  const addresses = host.peer_addresses.length > 0 ? host.peer_addresses : host.client_addresses;
  return {
    instance_id: id,
    host_id: host.id,
    addresses: [...addresses],
    port: port ?? 0,
    rest_port: rest_port ?? 0,
    tags: tagsOf(draft, node.tags.get(host.id) ?? {}),
  };
}

/** Users name hosts; keepers know instances. A host that has none of this node is nobody to follow. */
function tagsOf({ input, node }: LoneDraft, tags: HaTags): HaTags {
  const { replicatefrom, ...others } = tags;
  if (typeof replicatefrom !== "string" || !node.hostIds.includes(replicatefrom)) return others;
  return { ...others, replicatefrom: instanceId(input.databaseId, node.name, replicatefrom) };
}

/** Nobody waits for standbys that are not there because their hosts were given up. */
function settingsFor(settings: HaSettings, standbys: number): HaSettings {
  const { synchronous } = settings;
  if (standbys === 0) return { ...settings, synchronous: { ...synchronous, mode: "off" } };
  return {
    ...settings,
    synchronous: { ...synchronous, count: Math.min(synchronous.count, standbys) },
  };
}

function isMade(state: string): boolean {
  return state !== "needs_recreate";
}
