// POST /v1/hosts: a machine with sshd becomes a host, or a member. Everything that speaks against it is found
// before anything is written: there, and between there and the members.

import { messageOf } from "../base/errors.ts";
import { hostPreflightTimeoutMs, hostReportStaleMs } from "../base/limits.ts";
import type { Diagnostic } from "../base/result.ts";
import type { AddHostRequest, AddHostResponse, PlannedHost } from "../spec/add-host.ts";
import { validateLabels } from "../spec/host-labels.ts";
import { addHostProblems } from "../spec/validate-add-host.ts";
import { hostFreeGuard, listHosts, type StoredHost } from "../store/hosts.ts";
import { insertTask, noAdditionGuard } from "../store/tasks.ts";
import { newHostTask } from "./accept.ts";
import type { ClusterRuntime, OperationsDeps, SshProbe } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import { type PreflightQuestions, preflightHost } from "./host-preflight.ts";
import { presentTask } from "./present-task.ts";
import { checkReachFrom, placeOf } from "./reach.ts";
import { runtimeOf } from "./runtime.ts";

const DEFAULTS = {
  dataDir: "/var/lib/pgherd",
  runDir: "/run/pgherd",
  postgresUser: "postgres",
  ports: { min: 5_432, max: 15_432 },
} as const;

/** Accepts the addition, or throws with everything that is wrong. */
export async function addHost(
  deps: OperationsDeps,
  request: AddHostRequest,
): Promise<AddHostResponse> {
  const runtime = runtimeOf(deps);
  const { store } = runtime;
  const hosts = await listHosts(store.db);
  const problems = [
    ...addHostProblems(request),
    ...validateLabels(request.labels ?? {}, request.labels ?? {}),
    ...takenProblems(request, hosts),
  ];
  if (problems.length > 0) throw invalidInput(problems);
  const probe = openProbe(runtime, request);
  try {
    const found = await look(deps, runtime, request, probe, hosts);
    if (found.length > 0) throw invalidInput(found);
    const ssh = { ...probe.record(), bin_dirs: request.bin_dirs ?? [] };
    const planned = plannedHost(deps, request, ssh);
    const task = newHostTask(deps, request.id, "add_host", { addHost: planned });
    const outcome = await store.commit({
      opId: deps.ids.uuid(),
      guards: [hostFreeGuard(store.db, request.id), noAdditionGuard(store.db, request.id)],
      statements: [insertTask(store.db, task)],
    });
    if (!outcome.ok) {
      const message = `host ${request.id} is being added already`;
      throw new OperationError("operation_already_in_progress", message);
    }
    return { task: presentTask(task), learned_host_keys: [...probe.learned()] };
  } finally {
    await probe.close();
  }
}

function openProbe(runtime: ClusterRuntime, request: AddHostRequest): SshProbe {
  try {
    return runtime.openSsh(request.id, request.ssh);
  } catch (error) {
    throw invalidInput([
      { path: "ssh.host_key", code: "invalid_host_key", message: messageOf(error) },
    ]);
  }
}

/** A machine is one host: two that share its directories would undo each other's work. */
function takenProblems(
  { id, ssh, data_dir = DEFAULTS.dataDir }: AddHostRequest,
  hosts: readonly StoredHost[],
): readonly Diagnostic[] {
  if (hosts.some(({ record }) => record.id === id)) {
    return [{ path: "id", code: "taken", message: `a host with the id ${id} exists already` }];
  }
  const same = hosts.find(
    ({ record }) =>
      record.ssh !== undefined &&
      record.data_dir === data_dir &&
      record.ssh.address === ssh.address &&
      record.ssh.port === (ssh.port ?? 22) &&
      record.ssh.jump?.address === ssh.jump?.address,
  );
  if (!same) return [];
  const message = `host ${same.record.id} is the machine at ${ssh.address} with this data_dir already`;
  return [{ path: "ssh.address", code: "taken", message }];
}

/** What the machine and the members say, all at once. */
async function look(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  request: AddHostRequest,
  probe: SshProbe,
  hosts: readonly StoredHost[],
): Promise<readonly Diagnostic[]> {
  const { clock } = deps;
  const alive = hosts.filter(
    ({ status }) => status && clock.nowMs() - status.updatedAtMs <= hostReportStaleMs,
  );
  const signal = clock.deadline(hostPreflightTimeoutMs);
  const [{ problems }, unreached] = await Promise.all([
    preflightHost(probe.executor, clock, questionsOf(runtime, request, alive), signal),
    membersReach(runtime, request, alive, signal),
  ]);
  return [...problems, ...unreached];
}

function questionsOf(
  runtime: ClusterRuntime,
  request: AddHostRequest,
  alive: readonly StoredHost[],
): PreflightQuestions {
  const { data_dir = DEFAULTS.dataDir, postgres_user = DEFAULTS.postgresUser } = request;
  const { instance_dir = `${data_dir}/instances`, bin_dirs = [] } = request;
  return {
    directories: [data_dir, instance_dir],
    ports: request.join ? [request.join.http_port ?? 3_000] : [],
    postgresUser: postgres_user,
    binDirs: bin_dirs,
    reach: alive.flatMap(({ record: { store } }) => (store ? [placeOf(store.url)] : [])),
    machine: runtime.machine,
    dataDir: data_dir,
  };
}

/** Whichever member leads is the one that manages the host. */
async function membersReach(
  runtime: ClusterRuntime,
  request: AddHostRequest,
  alive: readonly StoredHost[],
  signal: AbortSignal,
): Promise<readonly Diagnostic[]> {
  const { address, port = 22 } = request.ssh.jump ?? request.ssh;
  const path = request.ssh.jump ? "ssh.jump.address" : "ssh.address";
  const others = alive.filter(({ record }) => record.store && record.id !== runtime.hostId);
  const asked = others.map(async ({ record: { id } }) => {
    const executor = await runtime.executor(id);
    const why =
      executor && (await checkReachFrom(executor, { host: address, port }, signal).catch(String));
    if (executor && why === undefined) return [];
    const message = `member ${id} does not reach ${address} port ${port}: any member may have to`;
    const hint = "look at firewalls and routes between the two";
    return [{ path, code: "unreachable_from_member", message, hint }];
  });
  return (await Promise.all(asked)).flat();
}

function plannedHost(
  deps: OperationsDeps,
  request: AddHostRequest,
  ssh: PlannedHost["ssh"],
): PlannedHost {
  const { id, data_dir = DEFAULTS.dataDir } = request;
  return {
    id,
    data_dir,
    run_dir: request.run_dir ?? DEFAULTS.runDir,
    instance_dir: request.instance_dir ?? `${data_dir}/instances`,
    postgres_user: request.postgres_user ?? DEFAULTS.postgresUser,
    peer_addresses: request.peer_addresses ?? [request.ssh.address],
    client_addresses: request.client_addresses ?? [request.ssh.address],
    random_ports: request.random_ports ?? DEFAULTS.ports,
    ssh,
    ...(request.service_units === undefined ? {} : { service_units: request.service_units }),
    ...(request.labels === undefined ? {} : { labels: request.labels }),
    ...(request.join ? { join: request.join, server_urls: [...deps.serverUrls()] } : {}),
  };
}
