// Operations in memory: enough of a control plane to test everything above it. Databases become available
// only when the test says so; errors are declared as the real ones are.
import { type Clock, rfc3339 } from "../../src/base/clock.ts";
import type { Ids } from "../../src/base/ids.ts";
import { OperationError } from "../../src/operations/errors.ts";
import type { LogEvent, LogPage, Operations, TaskPage } from "../../src/operations/operations.ts";
import type { AddHostResponse } from "../../src/spec/add-host.ts";
import type {
  ClusterJoinToken,
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  JoinOptionsRequest,
  JoinOptionsResponse,
  JoinTokenInfo,
} from "../../src/spec/cluster.ts";
import type {
  CreateDatabaseRequest,
  Database,
  UpdateDatabaseRequest,
} from "../../src/spec/database.ts";
import type { DatabaseSpec } from "../../src/spec/database-spec.ts";
import type { Host } from "../../src/spec/host.ts";
import type { HostDoctorResponse } from "../../src/spec/host-doctor.ts";
import type { PlanView } from "../../src/spec/plan-view.ts";
import type { RemoveHostResponse, ReplaceHostResponse } from "../../src/spec/requests.ts";
import type { Task, TaskLogEntry, TaskScope, TaskStatus, TaskType } from "../../src/spec/task.ts";
import { fakeNodes } from "./fake-nodes.ts";

const TOKEN = `PGEDGE-${"a".repeat(64)}-${"b".repeat(32)}`;

type Entry = TaskLogEntry & { readonly entryId: string };

export class FakeOperations implements Operations {
  readonly #clock: Clock;
  readonly #ids: Ids;
  #clusterId: string | undefined;
  #databases = new Map<string, Database>();
  #tasks = new Map<string, Task>();
  #logs = new Map<string, Entry[]>();
  #keys = new Map<string, { task: Task; database: Database }>();
  #changed: (() => void)[] = [];
  /** Thrown by the next call of a method that reads or writes databases. */
  failure: unknown;
  restored: Uint8Array | undefined;
  readonly nodes = fakeNodes(async (type, databaseId, instanceId) => {
    await this.getDatabase(databaseId);
    return this.#newTask(type, databaseId, instanceId);
  });
  /** What readiness answers. */
  problems: readonly string[] = [];

  constructor(clock: Clock, ids: Ids) {
    this.#clock = clock;
    this.#ids = ids;
  }

  initialised(): boolean {
    return this.#clusterId !== undefined;
  }

  async initCluster(clusterId?: string): Promise<ClusterJoinToken> {
    if (this.#clusterId !== undefined) {
      throw new OperationError("cluster_already_initialized", "the cluster is initialized already");
    }
    this.#clusterId = clusterId ?? this.#ids.uuid();
    return this.joinToken();
  }

  async joinCluster(_request: ClusterJoinToken): Promise<void> {
    if (this.#clusterId !== undefined) {
      throw new OperationError("cluster_already_initialized", "the cluster is initialized already");
    }
    this.#clusterId = "joined";
  }

  async admit(_request: JoinOptionsRequest): Promise<JoinOptionsResponse> {
    throw new OperationError("invalid_join_token", "the join token is not valid");
  }

  async updateHost(hostId: string): Promise<Host> {
    return this.getHost(hostId);
  }

  async startMaintenance(hostId: string): Promise<Host> {
    return this.getHost(hostId);
  }

  async endMaintenance(hostId: string): Promise<Host> {
    return this.getHost(hostId);
  }

  async replaceHost(hostId: string): Promise<ReplaceHostResponse> {
    return { ...(await this.removeHost(hostId)), lost: [] };
  }

  async hostDoctor(hostId: string): Promise<HostDoctorResponse> {
    const { id } = await this.getHost(hostId);
    return { host_id: id, checked_at: this.#now(), healthy: true, findings: [] };
  }

  async addHost(): Promise<AddHostResponse> {
    throw new OperationError("operation_not_supported", "no machine can be reached from here");
  }

  async removeHost(hostId: string): Promise<RemoveHostResponse> {
    throw new OperationError("not_found", `host ${hostId} does not exist`);
  }

  async recoverQuorum(): Promise<{ copy: string }> {
    throw new OperationError("operation_not_supported", "the store has a leader");
  }

  async rotateCertificates(): Promise<{ requested_at: string }> {
    return { requested_at: this.#now() };
  }

  async backup(): Promise<Response> {
    return new Response("SQLite format 3");
  }

  async restore(file: Uint8Array): Promise<void> {
    this.restored = file;
  }

  async listJoinTokens(): Promise<readonly JoinTokenInfo[]> {
    return [{ id: "0".repeat(16), role: "voter", state: "valid", created_at: this.#now() }];
  }

  async createJoinToken(request: CreateJoinTokenRequest): Promise<CreateJoinTokenResponse> {
    const role = request.role ?? "voter";
    return { id: "1".repeat(16), token: TOKEN, server_urls: ["http://127.0.0.1:3000"], role };
  }

  async revokeJoinToken(tokenId: string): Promise<JoinTokenInfo> {
    throw new OperationError("not_found", `join token ${tokenId} does not exist`);
  }

  async getCluster() {
    return {
      id: this.#clusterId ?? "",
      status: { state: "available" as const },
      hosts: [...(await this.listHosts())],
    };
  }

  async joinToken(): Promise<ClusterJoinToken> {
    return { token: TOKEN, server_urls: ["http://127.0.0.1:3000"] };
  }

  async listHosts(): Promise<readonly Host[]> {
    return [
      {
        id: "h1",
        orchestrator: "baremetal",
        data_dir: "/var/lib/pgherd",
        peer_addresses: ["127.0.0.1"],
        client_addresses: ["127.0.0.1"],
        status: { state: "healthy", updated_at: this.#now(), components: {} },
      },
    ];
  }

  async getHost(hostId: string): Promise<Host> {
    const host = (await this.listHosts()).find(({ id }) => id === hostId);
    if (!host) throw new OperationError("not_found", `host ${hostId} not found`);
    return host;
  }

  async listDatabases() {
    this.#maybeFail();
    return [...this.#databases.values()].map(({ spec: _, ...summary }) => summary);
  }

  async getDatabase(databaseId: string): Promise<Database> {
    this.#maybeFail();
    const database = this.#databases.get(databaseId);
    if (!database) throw new OperationError("not_found", `database ${databaseId} not found`);
    return database;
  }

  async createDatabase(request: CreateDatabaseRequest, idempotencyKey?: string) {
    this.#maybeFail();
    const repeated = idempotencyKey === undefined ? undefined : this.#keys.get(idempotencyKey);
    if (repeated) return repeated;
    const id = request.id ?? this.#ids.uuid();
    if (this.#databases.has(id)) {
      throw new OperationError("database_already_exists", `database ${id} exists already`);
    }
    const now = this.#now();
    const database: Database = {
      id,
      ...(request.tenant_id === undefined ? {} : { tenant_id: request.tenant_id }),
      created_at: now,
      updated_at: now,
      state: "creating",
      instances: [],
      spec: withoutPasswords(request.spec),
    };
    this.#databases.set(id, database);
    const answer = { task: this.#newTask("create", id), database };
    if (idempotencyKey !== undefined) this.#keys.set(idempotencyKey, answer);
    return answer;
  }

  async planCreate(request: CreateDatabaseRequest): Promise<PlanView> {
    return emptyPlan("create", request.id ?? "new");
  }

  async updateDatabase(databaseId: string, request: UpdateDatabaseRequest, force: boolean) {
    const database = await this.#modifiable(databaseId, force);
    const changed: Database = {
      ...database,
      state: "modifying",
      updated_at: this.#now(),
      spec: withoutPasswords(request.spec),
    };
    this.#databases.set(databaseId, changed);
    return { task: this.#newTask("update", databaseId), database: changed };
  }

  async planUpdate(databaseId: string): Promise<PlanView> {
    await this.getDatabase(databaseId);
    return emptyPlan("update", databaseId);
  }

  async deleteDatabase(databaseId: string, force: boolean) {
    const database = await this.#modifiable(databaseId, force);
    this.#databases.set(databaseId, { ...database, state: "deleting" });
    return { task: this.#newTask("delete", databaseId) };
  }

  async planDelete(databaseId: string): Promise<PlanView> {
    await this.getDatabase(databaseId);
    return emptyPlan("delete", databaseId);
  }

  restartInstance(databaseId: string, instanceId: string): Promise<Task> {
    return this.#instanceTask("restart_instance", databaseId, instanceId);
  }

  stopInstance(databaseId: string, instanceId: string): Promise<Task> {
    return this.#instanceTask("stop_instance", databaseId, instanceId);
  }

  startInstance(databaseId: string, instanceId: string): Promise<Task> {
    return this.#instanceTask("start_instance", databaseId, instanceId);
  }

  async listTasks(scope: TaskScope | undefined, entityId: string | undefined, page: TaskPage) {
    const sign = page.order === "asc" ? 1 : -1;
    const tasks = [...this.#tasks.values()]
      .filter((task) => scope === undefined || task.scope === scope)
      .filter((task) => entityId === undefined || task.entity_id === entityId)
      .sort((a, b) => (a.task_id < b.task_id ? -sign : sign));
    const from = tasks.findIndex(({ task_id }) => task_id === page.afterTaskId) + 1;
    return tasks.slice(from, page.limit ? from + page.limit : undefined);
  }

  async getTask(scope: TaskScope, entityId: string, taskId: string): Promise<Task> {
    const task = this.#tasks.get(taskId);
    if (task?.scope !== scope || task.entity_id !== entityId) {
      throw new OperationError("not_found", `task ${taskId} not found`);
    }
    return task;
  }

  async taskLog(scope: TaskScope, entityId: string, taskId: string, page: LogPage) {
    const task = await this.getTask(scope, entityId, taskId);
    const all = this.#logs.get(taskId) ?? [];
    const newer = after(all, page.afterEntryId);
    const last = all.at(-1)?.entryId;
    return {
      scope,
      entity_id: entityId,
      task_id: taskId,
      task_status: task.status,
      ...(last === undefined ? {} : { last_entry_id: last }),
      entries: newer.slice(page.limit ? -page.limit : 0).map(({ entryId: _, ...entry }) => entry),
    };
  }

  async *followTaskLog(
    scope: TaskScope,
    entityId: string,
    taskId: string,
    afterEntryId: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<LogEvent> {
    let seen = afterEntryId;
    for (;;) {
      this.#maybeFail();
      const task = await this.getTask(scope, entityId, taskId);
      for (const entry of after(this.#logs.get(taskId) ?? [], seen)) {
        seen = entry.entryId;
        yield { kind: "entry", ...entry };
      }
      if (isFinal(task.status)) {
        const timestamp = task.completed_at ?? task.created_at;
        yield { kind: "end", entryId: seen ?? "", timestamp, message: "", status: task.status };
        return;
      }
      await this.#nextChange(signal);
    }
  }

  async cancelTask(databaseId: string, taskId: string): Promise<Task> {
    const task = await this.getTask("database", databaseId, taskId);
    if (isFinal(task.status)) {
      throw new OperationError("invalid_input", `task ${taskId} is ${task.status}`);
    }
    const canceling = { ...task, status: "canceling" as const };
    this.#tasks.set(taskId, canceling);
    return canceling;
  }

  async readiness(): Promise<readonly string[]> {
    return this.initialised() ? this.problems : ["the cluster is not initialized"];
  }

  /** Adds an entry to a task's log, as a worker does. */
  log(taskId: string, message: string, fields?: Readonly<Record<string, unknown>>): string {
    const entryId = this.#ids.uuid();
    const entry = { entryId, timestamp: this.#now(), message, ...(fields ? { fields } : {}) };
    this.#logs.set(taskId, [...(this.#logs.get(taskId) ?? []), entry]);
    this.#notify();
    return entryId;
  }

  /** Ends a task, and with it the work on its database. */
  finish(taskId: string, status: TaskStatus): void {
    const task = this.#tasks.get(taskId);
    if (!task) throw new Error(`no task ${taskId}`);
    this.#tasks.set(taskId, { ...task, status, completed_at: this.#now() });
    const database = this.#databases.get(task.entity_id);
    if (database) {
      this.#databases.set(database.id, {
        ...database,
        state: status === "completed" ? "available" : "failed",
      });
    }
    this.#notify();
  }

  /** Wakes whoever follows a log, without a change. */
  notify(): void {
    this.#notify();
  }

  async #modifiable(databaseId: string, force: boolean): Promise<Database> {
    const database = await this.getDatabase(databaseId);
    if (force || ["available", "degraded", "failed"].includes(database.state)) return database;
    const message = `database ${databaseId} is ${database.state}`;
    throw new OperationError("database_not_modifiable", message);
  }

  async #instanceTask(type: TaskType, databaseId: string, instanceId: string): Promise<Task> {
    await this.getDatabase(databaseId);
    if (!instanceId.startsWith(`${databaseId}-n1-`)) {
      throw new OperationError("not_found", `instance ${instanceId} not found`);
    }
    return this.#newTask(type, databaseId, instanceId);
  }

  #newTask(type: TaskType, databaseId: string, instanceId?: string): Task {
    const task: Task = {
      scope: "database",
      entity_id: databaseId,
      database_id: databaseId,
      ...(instanceId === undefined ? {} : { instance_id: instanceId }),
      task_id: this.#ids.uuid(),
      created_at: this.#now(),
      type,
      status: "pending",
    };
    this.#tasks.set(task.task_id, task);
    return task;
  }

  #now(): string {
    return rfc3339(this.#clock.nowMs());
  }

  #maybeFail(): void {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#changed.push(resolve);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  #notify(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }
}

function isFinal(status: TaskStatus): boolean {
  return status === "completed" || status === "failed" || status === "canceled";
}

function after(entries: readonly Entry[], entryId: string | undefined): readonly Entry[] {
  return entryId === undefined ? entries : entries.filter((entry) => entry.entryId > entryId);
}

function withoutPasswords(spec: DatabaseSpec): DatabaseSpec {
  if (!spec.database_users) return spec;
  const users = spec.database_users.map(({ password: _, ...user }) => user);
  return { ...spec, database_users: users };
}

function emptyPlan(kind: string, databaseId: string): PlanView {
  return {
    kind,
    database_id: databaseId,
    generation: 1,
    steps: [],
    restarts: [],
    switchovers: [],
    write_gap_ms: {},
    text: "nothing to do\n",
  };
}
