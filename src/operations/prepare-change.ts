// From a requested spec to a plan that may be committed: everything that can be wrong is found here, nothing is written.
import { AppError } from "../base/errors.ts";
import { scramIterations } from "../base/limits.ts";
import type { Diagnostic } from "../base/result.ts";
import { checkPlan } from "../plan/check.ts";
import { nothingObserved } from "../plan/observed.ts";
import { makePlan } from "../plan/plan.ts";
import type { Plan, StoredResource } from "../plan/resource.ts";
import { nodesWithLeaving } from "../plan/stages.ts";
import { scramVerifier, verifies } from "../postgres/scram.ts";
import type { DatabaseSpec } from "../spec/database-spec.ts";
import { applyDefaults } from "../spec/defaults.ts";
import type { HostRecord } from "../spec/host.ts";
import { type ResolvedNode, resolveNodes } from "../spec/normalise.ts";
import { toVerifiers } from "../spec/passwords.ts";
import { validateDatabaseSpec } from "../spec/validate.ts";
import { validateHosts } from "../spec/validate-hosts.ts";
import { checkSlotVersions } from "../spec/validate-slots.ts";
import type { ObservedInstance } from "../store/instances.ts";
import { listPorts, type TakenPort } from "../store/ports.ts";
import { allocatePorts } from "./allocate-ports.ts";
import type { Before } from "./before.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { invalidInput } from "./errors.ts";
import { askHosts } from "./host-checks.ts";
import { questionsFor } from "./host-questions.ts";
import { driverOf } from "./runtime.ts";

export interface ChangeRequest {
  readonly databaseId: string;
  readonly tenantId: string | undefined;
  /** With what an update retains. */
  readonly spec: DatabaseSpec;
  readonly before: Before | undefined;
  readonly forceUpdate: boolean;
  /** All hosts of the cluster. */
  readonly hosts: readonly HostRecord[];
}

export interface PreparedChange {
  /** As it will be stored: with defaults, verifiers in the place of passwords. */
  readonly spec: DatabaseSpec;
  readonly nodes: readonly ResolvedNode[];
  readonly ports: readonly TakenPort[];
  readonly plan: Plan;
}

/** Problems of a spec that concern nothing but itself (and what the cluster's hosts can do at all). */
export function specProblems(
  deps: OperationsDeps,
  databaseId: string,
  spec: DatabaseSpec,
  hosts: readonly HostRecord[],
): readonly Diagnostic[] {
  const ids = new Set(spec.nodes.flatMap(({ host_ids }) => host_ids));
  const involved = hosts.filter(({ id }) => ids.has(id));
  return validateDatabaseSpec(spec, {
    services: involved.length > 0 && involved.every(({ capabilities }) => capabilities.services),
    spock: involved.some(({ installations }) =>
      installations.some(({ spock_version }) => spock_version !== null),
    ),
    parseStatement: deps.parseStatement,
    databaseId,
  });
}

/** Hosts and versions, then what only the hosts can tell, then ports and the plan. Throws invalid_input. */
export async function prepareChange(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  request: ChangeRequest,
): Promise<PreparedChange> {
  const { databaseId, before, hosts } = request;
  refuse(validateHosts(request.spec, hosts, before?.record.spec));
  const spec = withVerifiers(deps, applyDefaults(request.spec, hosts), before?.record.spec);
  const nodes = resolveNodes(spec);
  refuse(checkSlotVersions(nodes));
  // Instances that leave are members until their place is taken.
  const all = nodesWithLeaving(nodes, before?.stored ?? [], hosts);
  const used = new Set(all.flatMap(({ hostIds }) => hostIds));
  const involved = hosts.filter(({ id }) => used.has(id));
  const questions = questionsFor({ databaseId, nodes, hosts: involved, runtime, before });
  const answers = await askHosts(deps.clock, runtime.executor, questions);
  const ports = allocatePorts({
    databaseId,
    nodes: all,
    hosts: involved,
    taken: await listPorts(runtime.store.db, [...used]),
    listening: answers.listening,
    current: currentPorts(before?.instances ?? []),
    rng: deps.rng,
  });
  if (!ports.ok) throw invalidInput([...answers.problems, ...ports.error]);
  refuse(answers.problems);
  const plan = planChange(runtime, { ...request, spec, nodes, ports: ports.value, involved });
  return { spec, nodes, ports: ports.value, plan };
}

/** Throws invalid_input when there are problems. */
export function refuse(problems: readonly Diagnostic[]): void {
  if (problems.length > 0) throw invalidInput(problems);
}

function withVerifiers(
  deps: OperationsDeps,
  spec: DatabaseSpec,
  previous: DatabaseSpec | undefined,
): DatabaseSpec {
  const make = (password: string) => scramVerifier(password, deps.rng.bytes(16), scramIterations);
  return toVerifiers(spec, previous, make, verifies);
}

function currentPorts(instances: readonly ObservedInstance[]): ReadonlyMap<string, number> {
  const current = new Map<string, number>();
  for (const { id, config } of instances) {
    if (config?.port != null) current.set(`${id}/postgres`, config.port);
    if (config?.rest_port != null) current.set(`${id}/rest`, config.rest_port);
  }
  return current;
}

interface Planning extends ChangeRequest {
  readonly nodes: readonly ResolvedNode[];
  readonly ports: readonly TakenPort[];
  readonly involved: readonly HostRecord[];
}

function planChange(runtime: ClusterRuntime, planning: Planning): Plan {
  const { databaseId, tenantId, spec, before, nodes, ports, involved, forceUpdate } = planning;
  const stored = before?.stored ?? [];
  const planned = makePlan({
    kind: before ? "update" : "create",
    databaseId,
    ...(tenantId === undefined ? {} : { tenantId }),
    spec,
    nodes,
    hosts: involved,
    ports,
    placerOf: (host) => driverOf(runtime, host),
    wasAvailable: before?.record.wasAvailable ?? false,
    stored,
    leased: before?.leased ?? new Set(),
    parentGeneration: before?.record.generation ?? 0,
    observed: before?.observed ?? nothingObserved,
    forceUpdate,
  });
  if (!planned.ok) throw invalidInput(planned.error);
  return sound(planned.value, stored);
}

/** The plan, after its invariants were checked. */
export function sound(plan: Plan, stored: readonly StoredResource[]): Plan {
  const findings = checkPlan(plan, stored);
  if (findings.length === 0) return plan;
  const texts = findings.map(({ path, message }) => `${path}: ${message}`);
  throw new AppError("bug", `a plan breaks its invariants: ${texts.join("; ")}`);
}
