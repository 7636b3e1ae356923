// Makes a bare machine a member: program, configuration, service; then its server joins with a token made
// for it. Every part may be done again.
import { dirname } from "node:path";
import unitText from "../../../packaging/pgherd.service" with { type: "text" };
import { clockFileName } from "../../base/cluster-clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import {
  hostJoinTimeoutMs,
  hostJoinTokenMs,
  hostReportStaleMs,
  joinRequestTimeoutMs,
} from "../../base/limits.ts";
import type { ClusterRuntime } from "../../operations/deps.ts";
import {
  distantOrchestrator,
  removeServer,
  type ServerSite,
  serverPaths,
  startServer,
} from "../../orchestrator/registry.ts";
import type { HostJoin, PlannedHost } from "../../spec/add-host.ts";
import { listHosts } from "../../store/hosts.ts";
import { insertJoinToken, revokeJoinToken } from "../../store/join-tokens.ts";
import type { Member } from "../member.ts";
import { ensureProgramFile, type OwnProgram, type Site } from "./program.ts";

export interface Installer {
  readonly member: Member;
  readonly program: OwnProgram;
  readonly runtime: Pick<ClusterRuntime, "newJoinToken" | "joinTokenText">;
}

const POLL_MS = 500;
const DEFAULT_PORT = 3_000;

/** Resolves when the new member is in the list of hosts, healthy. Throws an AppError. */
export async function installMember(
  installer: Installer,
  planned: PlannedHost,
  join: HostJoin,
  site: Site,
): Promise<void> {
  const { member, program } = installer;
  const { executor, signal, log } = site;
  const service = await serviceOf(planned, site);
  await ensureProgramFile(program, serverPaths.program, site);
  const config = configurationOf(planned, join);
  await executor.mkdir(dirname(serverPaths.config), { mode: 0o755, signal });
  await executor.mkdir(planned.data_dir, { mode: 0o755, signal });
  await executor.put(serverPaths.config, config, { mode: 0o644, signal });
  if (!(await isListed(member, planned.id))) {
    await startServer(service);
    log("started its server", { config: serverPaths.config, units: service.units });
    await joinCluster(installer, planned, join, site);
  }
  await waitHealthy(member, planned.id, signal);
}

/** Takes back what an installation that failed left there. */
export async function uninstallMember(planned: PlannedHost, site: Site): Promise<void> {
  const { executor, signal } = site;
  await removeServer(await serviceOf(planned, site));
  const { data_dir } = planned;
  for (const name of [
    "server.lock",
    "server.log",
    "membership.json",
    "cluster.key",
    "rqlited",
    "bin",
    "certificates",
    "plans.json",
    "store-urls.json",
    clockFileName,
    "peer-port",
    "keepers",
  ]) {
    await executor.remove(`${data_dir}/${name}`, signal);
  }
  await executor.remove(serverPaths.config, signal);
  await executor.remove(serverPaths.program, signal);
  for (const path of [dirname(serverPaths.config), planned.run_dir, data_dir]) {
    await executor.run({ argv: ["rmdir", "--", path] }, { signal });
  }
}

async function serviceOf(planned: PlannedHost, site: Site): Promise<ServerSite> {
  const { executor, signal } = site;
  const keepers = await distantOrchestrator(executor, planned.service_units ?? true, signal);
  const { survives: units } = keepers;
  return { executor, signal, units, unit: unitText, dataDir: planned.data_dir };
}

/** JSON, which is YAML. */
function configurationOf(planned: PlannedHost, join: HostJoin): string {
  const { id, data_dir, run_dir, instance_dir, peer_addresses, client_addresses } = planned;
  const config = {
    host_id: id,
    data_dir,
    run_dir,
    peer_addresses,
    client_addresses,
    etcd_mode: (join.voter ?? true) ? "server" : "client",
    ...(planned.service_units === false ? { orchestrator: "detached" } : {}),
    http: { bind_addr: peer_addresses[0], port: join.http_port ?? DEFAULT_PORT },
    postgres: {
      instance_dir,
      bin_dirs: planned.ssh.bin_dirs,
      ...(planned.postgres_user === null ? {} : { user: planned.postgres_user }),
    },
    random_ports: planned.random_ports,
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

async function joinCluster(
  { member, runtime }: Installer,
  planned: PlannedHost,
  join: HostJoin,
  { signal, log }: Site,
): Promise<void> {
  const { environment, opened, sealer } = member;
  const { clock, ids } = environment;
  const { store } = opened;
  const { id, secret } = runtime.newJoinToken();
  const nowMs = clock.nowMs();
  const record = {
    id,
    role: (join.voter ?? true) ? ("voter" as const) : ("non_voter" as const),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + hostJoinTokenMs,
    revokedAtMs: null,
  };
  const write = (statement: ReturnType<typeof insertJoinToken>) =>
    store.commit({ opId: ids.uuid(), guards: [], statements: [statement] });
  await write(insertJoinToken(store.db, sealer, { record, secret }));
  try {
    const address = planned.peer_addresses[0] ?? planned.ssh.address;
    const url = `http://${address.includes(":") ? `[${address}]` : address}:${join.http_port ?? DEFAULT_PORT}`;
    const until = clock.deadline(hostJoinTimeoutMs, signal);
    await answering(url, clock, until);
    const body = {
      token: runtime.joinTokenText(secret).reveal(),
      server_urls: planned.server_urls ?? [],
    };
    log("its server joins", { url, server_urls: body.server_urls });
    const response = await fetch(`${url}/v1/cluster/join`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: until,
    });
    if (response.ok) return;
    const answer = (await response.text()).slice(0, 1_000);
    throw new AppError("terminal", `its server answered ${response.status}: ${answer}`);
  } finally {
    await write(revokeJoinToken(store.db, id, clock.nowMs()));
  }
}

async function answering(
  url: string,
  clock: Member["environment"]["clock"],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    let why: string;
    try {
      const one = clock.deadline(joinRequestTimeoutMs, signal);
      const { status } = await fetch(`${url}/livez`, { signal: one });
      if (status === 200) return;
      why = `it answers ${status}`;
    } catch (thrown) {
      why = messageOf(thrown);
    }
    if (signal.aborted) throw new AppError("terminal", `its server at ${url}: ${why}`);
    await clock.sleep(POLL_MS, signal).catch(() => undefined);
  }
}

async function isListed(member: Member, hostId: string): Promise<boolean> {
  return (await listHosts(member.opened.store.db, [hostId])).length > 0;
}

async function waitHealthy(member: Member, hostId: string, signal: AbortSignal): Promise<void> {
  const { clock } = member.environment;
  const until = clock.deadline(hostJoinTimeoutMs, signal);
  for (;;) {
    const [host] = await listHosts(member.opened.store.db, [hostId]);
    const { status, updatedAtMs = 0 } = host?.status ?? {};
    const unwell = Object.entries(status?.components ?? { store: { healthy: false } }).filter(
      ([, component]) => !component.healthy,
    );
    const fresh = clock.nowMs() - updatedAtMs <= hostReportStaleMs;
    if (fresh && unwell.length === 0) return;
    if (until.aborted) {
      const names = unwell.map(([name, { error }]) => `${name}: ${error ?? "unknown"}`).join("; ");
      throw new AppError("terminal", `it does not become healthy: ${names}`);
    }
    await clock.sleep(POLL_MS, until).catch(() => undefined);
  }
}
