// POST /v1/databases/{id}: the new spec replaces the old one; what it leaves out of secrets is kept.
import { viewPlan } from "../plan/view.ts";
import type { UpdateDatabaseRequest, UpdateDatabaseResponse } from "../spec/database.ts";
import type { PlanView } from "../spec/plan-view.ts";
import { retainSecrets } from "../spec/retain.ts";
import { validateIds } from "../spec/validate.ts";
import { validateUpdate } from "../spec/validate-update.ts";
import {
  type DatabaseRecord,
  databaseUnchangedGuard,
  loadDatabase,
  MODIFIABLE_STATES,
  updateDatabase as updateRow,
} from "../store/databases.ts";
import { listPlaces } from "../store/hosts.ts";
import { idleDatabaseGuard, insertTask } from "../store/tasks.ts";
import { accept, newTask, repeatedly } from "./accept.ts";
import { type Before, lookAt, withoutHosts } from "./before.ts";
import { forgetStatements, instanceStatements, portChange } from "./change-statements.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { type PreparedChange, prepareChange, refuse, specProblems } from "./prepare-change.ts";
import { presentDatabase } from "./present-database.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

export interface UpdateRequest {
  readonly databaseId: string;
  readonly request: UpdateDatabaseRequest;
  /** Also what did not change is done again. */
  readonly forceUpdate: boolean;
  /** Hosts that are gone: what is there is given up, not removed. */
  readonly removeHosts?: readonly string[];
  /** Generation of the spec that the new one was made from; absent = whichever is there. */
  readonly ifGeneration?: number;
}

/** Accepts a change. One that changes nothing still makes a task, which completes at once. */
export async function updateDatabase(
  deps: OperationsDeps,
  update: UpdateRequest,
): Promise<UpdateDatabaseResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const { before, prepared } = await prepare(deps, runtime, update);
    return commitUpdate(deps, runtime, before, prepared, update.removeHosts);
  });
}

/** What updateDatabase would do. Nothing is written. */
export async function planUpdate(deps: OperationsDeps, update: UpdateRequest): Promise<PlanView> {
  const { prepared } = await prepare(deps, runtimeOf(deps), update);
  return viewPlan(prepared.plan);
}

/** The checks of an update in their order; see the route's description. */
async function prepare(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { databaseId, request, forceUpdate, removeHosts = [], ifGeneration }: UpdateRequest,
): Promise<{ readonly before: Before; readonly prepared: PreparedChange }> {
  const { store, sealer } = runtime;
  const all = await listPlaces(store.db);
  const hosts = all.filter(({ id }) => !removeHosts.includes(id));
  const record = await loadDatabase(store.db, sealer, databaseId);
  const tenant = { ...(request.tenant_id === undefined ? {} : { tenant_id: request.tenant_id }) };
  const spec = record ? retainSecrets(record.spec, request.spec) : request.spec;
  refuse([...validateIds(tenant), ...specProblems(deps, databaseId, spec, hosts)]);
  if (!record) throw missing(databaseId);
  if (ifGeneration !== undefined && ifGeneration !== record.generation) {
    const message = `database ${databaseId} was changed meanwhile: look at it again`;
    throw new OperationError("precondition_failed", message);
  }
  const tenantId = record.tenantId ?? undefined;
  refuse(validateUpdate(record.spec, spec, tenantId, request.tenant_id));
  const before = withoutHosts(await lookAt(deps, runtime, record, hosts), removeHosts);
  const change = { databaseId, tenantId, spec, before, forceUpdate, hosts };
  const prepared = await prepareChange(deps, runtime, change);
  checkModifiable(record);
  return { before, prepared };
}

async function commitUpdate(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  before: Before,
  { spec, nodes, plan, ports }: PreparedChange,
  removeHosts: readonly string[] = [],
): Promise<UpdateDatabaseResponse | "again"> {
  const { store, sealer } = runtime;
  const { id } = before.record;
  const atMs = deps.clock.nowMs();
  const record: DatabaseRecord = {
    ...before.record,
    spec,
    generation: plan.generation,
    state: "modifying",
    updatedAtMs: atMs,
  };
  const task = newTask(deps, { scope: "database", databaseId: id, type: "update", plan });
  const taken = portChange(store.db, ports);
  const existing = before.instances;
  const end = await accept(deps, runtime, id, {
    guards: [
      databaseUnchangedGuard(store.db, before.record),
      idleDatabaseGuard(store.db, id),
      ...taken.guards,
    ],
    statements: [
      ...(await forgetStatements(store.db, id, removeHosts)),
      updateRow(store.db, sealer, record),
      ...instanceStatements(store.db, { databaseId: id, nodes, existing, plan, atMs }),
      ...taken.statements,
      insertTask(store.db, task),
    ],
  });
  return end === "again" ? end : { task: presentTask(task), database: presentDatabase(record) };
}

/** Throws database_not_modifiable while another change is in progress. */
export function checkModifiable(record: DatabaseRecord): void {
  if (MODIFIABLE_STATES.includes(record.state)) return;
  throw new OperationError(
    "database_not_modifiable",
    `database ${record.id} is ${record.state}: wait until that has ended`,
  );
}

function missing(databaseId: string): OperationError {
  return new OperationError("not_found", `database ${databaseId} does not exist`);
}
