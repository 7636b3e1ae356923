// GET /v1/hosts/{id}/doctor: looks at a host from every side, and says how to mend what is wrong. Changes nothing.
import { rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { hostReportStaleMs, hostValidationTimeoutMs } from "../base/limits.ts";
import { buildVersion } from "../base/version.ts";
import { factsOf } from "../plan/placement.ts";
import { parseVersion, synchronousFlaw } from "../postgres/version.ts";
import type { HostRecord } from "../spec/host.ts";
import type { HostDoctorResponse, HostFinding } from "../spec/host-doctor.ts";
import { listHosts, type StoredHost } from "../store/hosts.ts";
import { listInstances } from "../store/instances.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { preflightHost } from "./host-preflight.ts";
import { placeOf } from "./reach.ts";
import { runtimeOf } from "./runtime.ts";

export async function hostDoctor(
  deps: OperationsDeps,
  hostId: string,
): Promise<HostDoctorResponse> {
  const runtime = runtimeOf(deps);
  const hosts = await listHosts(runtime.store.display);
  const host = hosts.find(({ record }) => record.id === hostId);
  if (!host) throw new OperationError("not_found", `host ${hostId} does not exist`);
  const nowMs = deps.clock.nowMs();
  const findings = (
    await Promise.all([
      reported(host, nowMs),
      machine(deps, runtime, host, hosts),
      membership(runtime, host.record),
      versions(host.record),
      flaws(host.record),
      leftovers(deps, runtime, host.record),
    ])
  ).flat();
  return {
    host_id: hostId,
    checked_at: rfc3339(nowMs),
    healthy: findings.every(({ severity }) => severity !== "error"),
    findings: unique(findings),
  };
}

/** What mends a component that is not healthy; its own message says what it is. */
const REMEDIES: Readonly<Record<string, string>> = {
  store:
    "look at the network between this host and the members, and whether a majority of them runs",
  disk: "make room, or move `postgres.instance_dir` to a larger file system",
  clock: "let NTP set the clock, e.g. by chrony",
  driver:
    "read the log of the keeper or fencer that fails: in the journal, or log/ of its instance",
  certificate: "pgherd cluster rotate-certs; if it stays, look at the log of the server",
  postgresql: "install the server package of a version that you want",
};

async function reported(
  { record, status }: StoredHost,
  nowMs: number,
): Promise<readonly HostFinding[]> {
  if (!status || nowMs - status.updatedAtMs > hostReportStaleMs) {
    const since = status ? ` since ${rfc3339(status.updatedAtMs)}` : "";
    const remedy = record.ssh
      ? `is the machine up, and does sshd at ${record.ssh.address} port ${record.ssh.port} let the members in?`
      : "is the machine up, and does `pgherd server run` run there? Its log says why not";
    const message = `nothing was heard of it${since}`;
    return [{ severity: "error", code: "unreachable", message, remedy }];
  }
  return Object.entries(status.status.components)
    .filter(([, { healthy }]) => !healthy)
    .map(([name, { error = "" }]) => ({
      severity: "error",
      code: name,
      message: `${name}: ${error === "" ? "not healthy" : error}`,
      remedy: REMEDIES[name] ?? "look at the log of the server",
    }));
}

/** What a machine is asked before it becomes a host may have become wrong since. */
async function machine(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { record }: StoredHost,
  hosts: readonly StoredHost[],
): Promise<readonly HostFinding[]> {
  const executor = await runtime.executor(record.id);
  if (!executor) {
    const message = "it cannot be reached from this server";
    const remedy = "ask another member; this one has no way to it";
    return [{ severity: "warning", code: "no_way", message, remedy }];
  }
  const members = hosts.flatMap(({ record: { id, store } }) =>
    store && id !== record.id ? [placeOf(store.url)] : [],
  );
  const { problems } = await preflightHost(
    executor,
    deps.clock,
    {
      directories: [record.data_dir, record.instance_dir],
      ports: [],
      postgresUser: record.postgres_user ?? "root",
      binDirs: record.installations.map(({ bin_dir }) => bin_dir),
      reach: members,
    },
    deps.clock.deadline(hostValidationTimeoutMs),
  );
  const expected = [
    // Its own instances.
    "directory_in_use",
    ...(record.ssh ? [] : ["not_root"]),
    ...(record.witness ? ["no_postgres"] : []),
  ];
  return problems
    .filter(({ code }) => !expected.includes(code))
    .map(({ code, message, hint }) => ({
      severity: "error",
      code,
      message,
      remedy: hint ?? "look at the machine",
    }));
}

async function membership(
  { storeNodes }: ClusterRuntime,
  record: HostRecord,
): Promise<readonly HostFinding[]> {
  if (!record.store) return [];
  try {
    const node = (await storeNodes()).find(({ id }) => id === record.id);
    if (!node) {
      const message = "it is in the list of hosts, but no member of the store";
      const remedy = "restart its server, which brings the member back";
      return [{ severity: "error", code: "no_member", message, remedy }];
    }
    if (node.voter || record.etcd_mode === "client") return [];
    const message = "its member of the store has no vote, although it should";
    const remedy =
      "wait until it has caught up with the others; if it stays so, restart its server";
    return [{ severity: "warning", code: "no_vote", message, remedy }];
  } catch (error) {
    const message = `the members of the store cannot be listed: ${messageOf(error)}`;
    const remedy = "bring back a majority of the members";
    return [{ severity: "error", code: "no_quorum", message, remedy }];
  }
}

async function versions(record: HostRecord): Promise<readonly HostFinding[]> {
  const own = buildVersion.version;
  if (record.server_version === own) return [];
  const message = `it has version ${record.server_version} of pgherd, this server ${own}`;
  const remedy = record.ssh
    ? "the leader brings the newer one there by itself once all members have it"
    : "replace the program of the older one and restart its server";
  return [{ severity: "warning", code: "other_version", message, remedy }];
}

function flaws({ installations }: HostRecord): readonly HostFinding[] {
  return installations.flatMap(({ version }) => {
    const parsed = parseVersion(version);
    const message = parsed && synchronousFlaw(parsed);
    if (message === undefined) return [];
    const remedy = "install the newest minor release of its packages";
    return [{ severity: "warning", code: "synchronous_flaw", message, remedy }];
  });
}

/** Keepers that nobody knows of, and instances that have none. */
async function leftovers(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  record: HostRecord,
): Promise<readonly HostFinding[]> {
  const signal = deps.clock.deadline(hostValidationTimeoutMs);
  const driver = runtime.driver(record.orchestrator);
  try {
    const executor = await runtime.executor(record.id);
    if (!driver || !executor) return [];
    const [seen, all] = await Promise.all([
      driver.observe({ executor, host: factsOf(record), signal }),
      listInstances(runtime.store.display),
    ]);
    const here = all.filter(({ hostId }) => hostId === record.id);
    const strange = seen.filter((keeper) => !here.some(({ id }) => id === keeper.instanceId));
    const missing = here.filter(
      ({ id, state }) =>
        !["creating", "deleting"].includes(state) &&
        !seen.some((keeper) => keeper.instanceId === id),
    );
    return [
      ...strange.map(
        ({ instanceId }): HostFinding => ({
          severity: "warning",
          code: "leftover",
          message: `instance ${instanceId} runs there and belongs to no database`,
          remedy: `look at ${record.data_dir}/keepers/${instanceId}/keeper.json; remove what nobody needs by hand`,
        }),
      ),
      ...missing.map(
        ({ id, databaseId }): HostFinding => ({
          severity: "error",
          code: "no_keeper",
          message: `instance ${id} has no keeper`,
          remedy: `apply the spec of ${databaseId} again with force_update`,
        }),
      ),
    ];
  } catch (error) {
    // That the host does not answer is told by another part.
    deps.log.debug("could not list the keepers of a host", { error: messageOf(error) });
    return [];
  }
}

/** One sentence is enough for what several parts found. */
function unique(findings: readonly HostFinding[]): HostFinding[] {
  const seen = new Set<string>();
  return findings.filter(({ code, message }) => {
    const key = `${code} ${message}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
