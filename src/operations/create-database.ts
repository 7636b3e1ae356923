// POST /v1/databases: checks, a plan, and one commit that makes database, instances, ports and task.
import { createHash } from "node:crypto";
import { type Json, stableJson } from "../base/json.ts";
import { Secret } from "../base/secret.ts";
import { viewPlan } from "../plan/view.ts";
import type { CreateDatabaseRequest, CreateDatabaseResponse } from "../spec/database.ts";
import type { PlanView } from "../spec/plan-view.ts";
import { validateIds } from "../spec/validate.ts";
import { validateHosts } from "../spec/validate-hosts.ts";
import {
  type DatabaseRecord,
  databaseExists,
  databaseFreeGuard,
  insertDatabase,
} from "../store/databases.ts";
import { listPlaces } from "../store/hosts.ts";
import { loadAnswer, saveAnswer } from "../store/idempotency.ts";
import type { Query } from "../store/statement.ts";
import { deleteTaskLogsOf } from "../store/task-log.ts";
import { deleteTasksOf, insertTask } from "../store/tasks.ts";
import { accept, newTask, repeatedly } from "./accept.ts";
import { instanceStatements, portChange } from "./change-statements.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";
import { type PreparedChange, prepareChange, refuse, specProblems } from "./prepare-change.ts";
import { presentDatabase } from "./present-database.ts";
import { presentTask } from "./present-task.ts";
import { runtimeOf } from "./runtime.ts";

/** Accepts a new database. With a key, the same request again gets the same answer. */
export async function createDatabase(
  deps: OperationsDeps,
  request: CreateDatabaseRequest,
  key?: string,
): Promise<CreateDatabaseResponse> {
  const runtime = runtimeOf(deps);
  return repeatedly(async () => {
    const earlier = key === undefined ? undefined : await earlierAnswer(runtime, key, request);
    if (earlier) return earlier;
    const id = request.id ?? deps.ids.uuid();
    const prepared = await prepare(deps, runtime, request, id);
    return commitCreate(deps, runtime, { request, id, prepared, key });
  });
}

/** What createDatabase would do. Nothing is written; random ports are examples. */
export async function planCreate(
  deps: OperationsDeps,
  request: CreateDatabaseRequest,
): Promise<PlanView> {
  const runtime = runtimeOf(deps);
  const id = request.id ?? deps.ids.uuid();
  const { plan } = await prepare(deps, runtime, request, id);
  return viewPlan(plan);
}

async function prepare(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  request: CreateDatabaseRequest,
  id: string,
): Promise<PreparedChange> {
  const hosts = await listPlaces(runtime.store.db);
  refuse([...validateIds(request), ...specProblems(deps, id, request.spec, hosts)]);
  refuse(validateHosts(request.spec, hosts));
  // Before the hosts are asked: they would name the existing database's own directories as obstacles.
  if (await databaseExists(runtime.store.db, id)) {
    throw new OperationError(
      "database_already_exists",
      `a database with the id ${id} exists already`,
    );
  }
  return prepareChange(deps, runtime, {
    databaseId: id,
    tenantId: request.tenant_id,
    spec: request.spec,
    before: undefined,
    forceUpdate: false,
    hosts,
  });
}

interface Creation {
  readonly request: CreateDatabaseRequest;
  readonly id: string;
  readonly prepared: PreparedChange;
  readonly key: string | undefined;
}

async function commitCreate(
  deps: OperationsDeps,
  runtime: ClusterRuntime,
  { request, id, prepared, key }: Creation,
): Promise<CreateDatabaseResponse | "again"> {
  const { store, sealer } = runtime;
  const { spec, nodes, plan } = prepared;
  const atMs = deps.clock.nowMs();
  const record: DatabaseRecord = {
    id,
    tenantId: request.tenant_id ?? null,
    generation: plan.generation,
    state: "creating",
    wasAvailable: false,
    spec,
    createdAtMs: atMs,
    updatedAtMs: atMs,
  };
  const task = newTask(deps, { scope: "database", databaseId: id, type: "create", plan });
  const answer = { task: presentTask(task), database: presentDatabase(record) };
  const ports = portChange(store.db, prepared.ports);
  const remembered = key === undefined ? [] : [rememberAnswer(runtime, key, request, answer, atMs)];
  const end = await accept(deps, runtime, id, {
    guards: [databaseFreeGuard(store.db, id), ...ports.guards],
    statements: [
      deleteTaskLogsOf(store.db, "database", id),
      ...deleteTasksOf(store.db, "database", id),
      insertDatabase(store.db, sealer, record),
      ...instanceStatements(store.db, { databaseId: id, nodes, existing: [], plan, atMs }),
      ...ports.statements,
      insertTask(store.db, task),
      ...remembered,
    ],
  });
  return end === "again" ? end : answer;
}

/** The answer given to the same request before; throws when the key belongs to another request. */
async function earlierAnswer(
  runtime: ClusterRuntime,
  key: string,
  request: CreateDatabaseRequest,
): Promise<CreateDatabaseResponse | undefined> {
  const stored = await loadAnswer(runtime.store.db, key);
  if (!stored) return undefined;
  const known = runtime.sealer.open(stored.requestHash, contextOf(key)).reveal();
  if (known === digestOf(request)) return JSON.parse(stored.response);
  throw new OperationError(
    "invalid_input",
    "this Idempotency-Key was used for another request before: choose a new one",
  );
}

/** The digest covers passwords, which could be guessed from it: it is sealed. */
function rememberAnswer(
  runtime: ClusterRuntime,
  key: string,
  request: CreateDatabaseRequest,
  answer: CreateDatabaseResponse,
  atMs: number,
): Query {
  const requestHash = runtime.sealer.seal(new Secret(digestOf(request)), contextOf(key));
  return saveAnswer(runtime.store.db, key, { requestHash, response: JSON.stringify(answer) }, atMs);
}

function contextOf(key: string): string {
  return `idempotency_keys/${key}`;
}

function digestOf(request: CreateDatabaseRequest): string {
  const plain: Json = JSON.parse(JSON.stringify(request));
  return createHash("sha256").update(stableJson(plain)).digest("hex");
}
