// What should exist for a database: every resource of every instance and node, in dependency order.
// Shared by all drivers; a driver adds only the directories and the keeper of an instance.
import { must } from "../base/assert.ts";
import type { HostRecord } from "../spec/host.ts";
import { instanceId } from "../spec/ids.ts";
import type { DesiredInput, InstanceDraft, LoneDraft, Shared } from "./draft.ts";
import { groupOf, homeOf } from "./group.ts";
import { certificateResource, instanceResource, monitorResource } from "./instance-resources.ts";
import {
  databaseResource,
  rolesOf,
  rolesResource,
  scriptResource,
  slotsResource,
} from "./node-resources.ts";
import type { InstancePlacement } from "./placement.ts";
import { type Resource, type ResourceKey, resourceKey } from "./resource.ts";

/** The resources of the database in dependency order: nodes in the order of the spec, the home of each first. */
export function desiredResources(input: DesiredInput): readonly Resource[] {
  const hosts = new Map(input.hosts.map((host) => [host.id, host]));
  const shared = sharedOf(input, hosts);
  return input.nodes.flatMap((node) => {
    const lone = node.hostIds.map((hostId) => {
      const host = must(hosts.get(hostId), `host ${hostId}`);
      return draftOf({ input, shared, node, host });
    });
    const homeId = homeOf(input, node);
    const group = groupOf(input, lone, homeId);
    const drafts = lone.map((draft) => ({ ...draft, group, isHome: draft.id === homeId }));
    return drafts
      .toSorted((a, b) => Number(b.isHome) - Number(a.isHome))
      .flatMap((draft) => instanceResources(draft));
  });
}

function sharedOf(input: DesiredInput, hosts: ReadonlyMap<string, HostRecord>): Shared {
  const used = new Set(input.nodes.flatMap(({ hostIds }) => hostIds));
  const addresses = [...used].flatMap((id) => hosts.get(id)?.peer_addresses ?? []);
  return {
    ports: new Map(
      input.ports.map(({ instanceId, purpose, port }) => [`${instanceId}/${purpose}`, port]),
    ),
    storedInstances: new Map(
      input.stored.flatMap((resource) =>
        resource.kind === "database.instance" ? [[resource.id, resource]] : [],
      ),
    ),
    systemAddresses: [...new Set(addresses)],
    roles: rolesOf(input),
  };
}

function draftOf(from: Pick<LoneDraft, "input" | "shared" | "node" | "host">): LoneDraft {
  const { input, node, host } = from;
  const version = must(node.postgresVersion, `version of node ${node.name}`);
  const major = Number.parseInt(version, 10);
  const sameMajor = host.installations.filter((installation) => installation.major === major);
  const bin = sameMajor.find((installation) => installation.version === version) ?? sameMajor[0];
  const id = instanceId(input.databaseId, node.name, host.id);
  const placement: InstancePlacement = {
    instanceId: id,
    databaseId: input.databaseId,
    nodeName: node.name,
    hostId: host.id,
    postgresMajor: major,
    ...(node.cpus === undefined ? {} : { cpus: node.cpus }),
    ...(node.memoryBytes === undefined ? {} : { memoryBytes: node.memoryBytes }),
  };
  return { ...from, id, placement, bin: must(bin, `PostgreSQL ${version} on ${host.id}`) };
}

/** Those of the driver, then what all drivers share, then what belongs to the node, at its home. */
function instanceResources(draft: InstanceDraft): readonly Resource[] {
  const { input, host, placement } = draft;
  const placer = input.placerOf(host);
  const facts = {
    hostId: host.id,
    dataDir: host.data_dir,
    runDir: host.run_dir,
    instanceDir: host.instance_dir,
    postgresUser: host.postgres_user,
  };
  const layout = placer.layout(placement, facts);
  const made = placer.resources(placement, facts);
  const directories = made.filter(({ kind }) => kind === "filesystem.dir");
  const certificates = certificateResource(draft, layout, keysOf(directories));
  const keepers = made
    .filter(({ kind }) => kind !== "filesystem.dir")
    .map((keeper) => ({
      ...keeper,
      dependsOn: [...keeper.dependsOn, resourceKey(certificates)],
    }));
  const instance = instanceResource(draft, layout, keysOf([certificates, ...keepers]));
  const ofNode = draft.isHome ? nodeResources(draft, resourceKey(instance)) : [];
  const monitor = monitorResource(draft, instance, keysOf(ofNode));
  const slots = draft.isHome ? slotsResource(draft, keysOf([instance, ...ofNode])) : [];
  return [...directories, certificates, ...keepers, instance, ...ofNode, ...slots, monitor];
}

function nodeResources(draft: InstanceDraft, instance: ResourceKey): readonly Resource[] {
  const postInit = scriptResource(draft, "post_init", [instance]);
  const roles = rolesResource(draft, [instance, ...keysOf(postInit)]);
  const database = databaseResource(draft, [instance, resourceKey(roles)]);
  const postCreate = scriptResource(draft, "post_database_create", [resourceKey(database)]);
  return [...postInit, roles, database, ...postCreate];
}

function keysOf(resources: readonly Resource[]): readonly ResourceKey[] {
  return resources.map(resourceKey);
}
