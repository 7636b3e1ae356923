// The resources of one instance that do not depend on the driver: certificates, PostgreSQL itself, its monitor.
import { renderHba } from "../postgres/hba.ts";
import { renderIdent } from "../postgres/ident.ts";
import { REPLICATION_TIMEOUT_S } from "../spec/ha-settings.ts";
import type { HostRecord } from "../spec/host.ts";
import type { InstanceLayout } from "../spec/instance-config.ts";
import type { InstanceDraft } from "./draft.ts";
import {
  type CertificateInputs,
  type InstanceInputs,
  instanceInputs,
  type MonitorInputs,
} from "./inputs.ts";
import { instanceParameters } from "./parameters.ts";
import { portsOf } from "./ports.ts";
import { restAuthenticationInputs } from "./requests.ts";
import { type Resource, type ResourceKey, resourceKey } from "./resource.ts";

/** A host that grew or shrank by less than this part keeps the settings that it was given. */
const sizeTolerance = 1 / 16;

export function certificateResource(
  draft: InstanceDraft,
  layout: InstanceLayout,
  dependsOn: readonly ResourceKey[],
): Resource {
  const { host } = draft;
  const inputs: CertificateInputs = {
    directory: layout.certificate_dir,
    owner: host.postgres_user,
    server_names: unique([
      ...host.client_addresses,
      ...host.peer_addresses,
      "localhost",
      "127.0.0.1",
      "::1",
      draft.id,
    ]),
  };
  return { ...common(draft), kind: "common.postgres_certs", inputs, dependsOn };
}

export function instanceResource(
  draft: InstanceDraft,
  layout: InstanceLayout,
  dependsOn: readonly ResourceKey[],
): Resource {
  const inputs = describe(draft, layout);
  return { ...common(draft), kind: "database.instance", inputs, dependsOn };
}

export function monitorResource(
  draft: InstanceDraft,
  instance: Resource,
  ofNode: readonly ResourceKey[],
): Resource {
  const { port, rest_port } = instanceInputs(instance);
  const role = draft.group === undefined ? "primary" : "member";
  const inputs: MonitorInputs = { role, port, rest_port };
  const dependsOn = [resourceKey(instance), ...ofNode];
  return { ...common(draft), kind: "monitor.instance", inputs, dependsOn };
}

function describe(draft: InstanceDraft, layout: InstanceLayout): InstanceInputs {
  const { input, node, host, id, bin, group } = draft;
  const { port, rest_port } = portsOf(draft);
  const tuned_for = sizeOf(draft);
  return {
    instance_id: id,
    database_id: input.databaseId,
    ...(input.tenantId === undefined ? {} : { tenant_id: input.tenantId }),
    node_name: node.name,
    host_id: host.id,
    database_name: input.spec.database_name,
    postgres_major: bin.major,
    ...(node.postgresVersion === undefined ? {} : { postgres_version: node.postgresVersion }),
    bin_dir: bin.bin_dir,
    run: "running",
    port,
    rest_port,
    ...(node.restAuthentication === undefined
      ? {}
      : { rest_authentication: restAuthenticationInputs(node.restAuthentication) }),
    listen_addresses: listenAddresses(host),
    connect_addresses: [...host.client_addresses],
    parameters: instanceParameters({
      major: bin.major,
      memoryBytes: tuned_for.memory_bytes,
      cpus: tuned_for.cpus,
      nodes: input.nodes.length,
      ordinal: node.ordinal,
      spock: bin.spock_version !== null,
      layout,
      ...(group === undefined
        ? {}
        : { replicationTimeoutS: REPLICATION_TIMEOUT_S[group.settings.profile] }),
      user: node.postgresqlConf,
    }),
    hba: [
      ...renderHba({
        systemAddresses: draft.shared.systemAddresses,
        nodeAndDatabaseLines: node.pgHbaConf,
      }),
    ],
    ident: [...renderIdent({ systemUsers: systemUsers(host), userLines: node.pgIdentConf })],
    ...(group === undefined ? {} : { ha: group }),
    ...(node.slots.length === 0 ? {} : { slots: [...node.slots] }),
    tuned_for,
  };
}

/** A server that runs PostgreSQL as another user is root; otherwise the keeper adds the one user that there is. */
function systemUsers(host: HostRecord): readonly string[] {
  return host.postgres_user === null ? [] : ["root", host.postgres_user];
}

/** A machine that is only known by loopback addresses is not opened to the network; every other listens everywhere. */
function listenAddresses(host: HostRecord): string[] {
  const all = unique([...host.client_addresses, ...host.peer_addresses]);
  return all.every(isLoopback) ? unique(["127.0.0.1", ...all.filter(isAddress)]) : ["*"];
}

function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127(\.\d{1,3}){3}$/.test(address);
}

function isAddress(address: string): boolean {
  return address !== "localhost";
}

/**
 * What to tune for: the limits of the spec, otherwise the host. The memory that a host reports moves a little with
 * its kernel; what an instance was tuned for stays until it moves a lot, so that no update restarts it by accident.
 */
function sizeOf(draft: InstanceDraft): InstanceInputs["tuned_for"] {
  const { node, host } = draft;
  const before = draft.shared.storedInstances.get(draft.id);
  const tuned = before === undefined ? undefined : instanceInputs(before).tuned_for;
  const near = (value: number, old: number | undefined): number =>
    old !== undefined && Math.abs(value - old) <= old * sizeTolerance ? old : value;
  return {
    memory_bytes: node.memoryBytes ?? near(host.memory_bytes, tuned?.memory_bytes),
    cpus: node.cpus ?? near(host.cpus, tuned?.cpus),
  };
}

function common(draft: InstanceDraft): Pick<Resource, "id" | "hostId" | "instanceId" | "nodeName"> {
  const { id, host, node } = draft;
  return { id, hostId: host.id, instanceId: id, nodeName: node.name };
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
