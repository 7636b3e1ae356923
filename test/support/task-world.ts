// A control plane in memory: real operations, real worker and real store code over SQLite, with a fake driver,
// fake keepers, one fake host and a clock that the test moves. Workers can be killed at any commit.
import { dirname } from "node:path";
import type { HostWork } from "../../src/apply/host-work.ts";
import type { StepDeps } from "../../src/apply/step-deps.ts";
import { createStepRunner } from "../../src/apply/steps.ts";
import type { StepRun } from "../../src/apply/task-run.ts";
import { createWorker } from "../../src/apply/worker.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { uuidMaker } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/log.ts";
import { seededRng } from "../../src/base/rng.ts";
import { Secret } from "../../src/base/secret.ts";
import type { FileOptions } from "../../src/host/executor.ts";
import { FakeHost } from "../../src/host/fake.ts";
import { createOperations } from "../../src/operations/control-plane.ts";
import type { ClusterRuntime, OperationsDeps } from "../../src/operations/deps.ts";
import type { Operations } from "../../src/operations/operations.ts";
import { FakeDriver } from "../../src/orchestrator/fake/driver.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";
import type { Task } from "../../src/spec/task.ts";
import { newClusterKey } from "../../src/store/cluster-key.ts";
import { saveHost } from "../../src/store/hosts.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { createSealer } from "../../src/store/sealing.ts";
import { createStore, type Store } from "../../src/store/store.ts";
import { FakeKeepers } from "./fake-keepers.ts";
import { host } from "./planning.ts";
import { memoryStoreParts } from "./sqlite-store.ts";

/** Where a worker dies: the how-manieth of its commits, and whether that one still reaches the store. */
export interface DeathAt {
  readonly commit: number;
  readonly applied: boolean;
}

export type WrapStep = (run: StepRun, real: (run: StepRun) => Promise<void>) => Promise<void>;

/** A host whose parent directories come by themselves, since the fake driver only notes directories. */
class LooseHost extends FakeHost {
  override async put(path: string, content: string | Uint8Array, options: FileOptions) {
    await this.mkdir(dirname(path), { mode: 0o755 });
    return super.put(path, content, options);
  }
}

/** A worker under way. */
export interface RunningWorker {
  /** Everything it committed since its start. */
  readonly commits: () => number;
  /** Ends it as kill -9 does: nothing more reaches the store. */
  kill(): void;
  readonly dead: () => boolean;
  /** Ends it in order. */
  stop(): Promise<void>;
}

const TURNS_MAX = 20_000;
const TURN_MS = 10;

export class TaskWorld {
  readonly clock = new FakeClock();
  readonly driver = new FakeDriver();
  readonly host: FakeHost;
  readonly hosts = new Map<string, FakeHost>();
  readonly keepers: FakeKeepers;
  readonly operations: Operations;
  readonly store: Store;
  readonly deps: OperationsDeps;
  readonly #rqlite: Rqlite;
  readonly #runtime: ClusterRuntime;
  readonly #authority: Authority;
  #incarnation = 0;
  /** Ports that something on the host listens on. */
  listening: readonly number[] = [];

  private constructor(parts: {
    readonly clock: FakeClock;
    readonly rqlite: Rqlite;
    readonly store: Store;
    readonly authority: Authority;
    readonly others: readonly string[];
  }) {
    this.clock = parts.clock;
    this.store = parts.store;
    this.#rqlite = parts.rqlite;
    this.#authority = parts.authority;
    this.host = this.#newHost("host-1");
    for (const id of parts.others) this.#newHost(id);
    const { keepers } = this.driver.world;
    this.keepers = new FakeKeepers(this.store, this.clock, (id) => keepers.has(id));
    this.#runtime = {
      clusterId: "cluster-1",
      hostId: "host-0",
      store: this.store,
      sealer: createSealer(newClusterKey(seededRng(7)), seededRng(8)),
      joinTokenText: (secret) => new Secret(`PGEDGE-${"0".repeat(64)}-${secret.reveal()}`),
      newJoinToken: () => ({ id: "2".repeat(16), secret: new Secret("1".repeat(32)) }),
      admit: async () => ({ sealed: "unused" }),
      recoverQuorum: async () => ({ copy: "" }),
      rotateCertificates: async () => 0,
      backup: async () => new Response(),
      restore: async () => undefined,
      removeNode: async () => undefined,
      driver: (orchestrator) => (orchestrator === "fake" ? this.driver : undefined),
      executor: (hostId) => this.hosts.get(hostId),
      storeNodes: async () => [],
      openSsh: () => {
        throw new Error("there is no sshd in this world");
      },
      machine: "x86_64",
    };
    this.deps = {
      clock: this.clock,
      ids: uuidMaker(this.clock, seededRng(2)),
      rng: seededRng(3),
      log: silentLogger,
      runtime: () => this.#runtime,
      bootstrap: async () => ({ recoveryKey: new Secret("unused") }),
      join: async () => undefined,
      joinedUnanswered: async () => false,
      serverUrls: () => ["http://10.0.0.1:3000"],
      parseStatement: (sql) => (sql.includes("syntax error") ? "syntax error" : null),
    };
    this.operations = createOperations(this.deps);
  }

  #newHost(id: string): FakeHost {
    const made = new LooseHost(id, this.clock, { users: ["postgres"] }).program("cat", () => ({
      stdout: this.listening
        .map((port, n) => `${n}: 0100007F:${port.toString(16).toUpperCase()} 00000000:0000 0A\n`)
        .join("")
        .concat("  sl  local_address\n"),
    }));
    for (const major of [15, 17])
      for (const program of ["initdb", "pg_basebackup", "pg_rewind"])
        void made.put(`/usr/lib/postgresql/${major}/bin/${program}`, "", { mode: 0o755 });
    this.hosts.set(id, made);
    return made;
  }

  /** A world with host-1 and the others, each of which runs PostgreSQL 15 and 17, and no worker yet. */
  static async create(others: readonly string[] = []): Promise<TaskWorld> {
    const clock = new FakeClock();
    const { rqlite, store } = await memoryStoreParts(clock);
    const authority = await createAuthority("test", clock.nowMs(), seededRng(5));
    const world = new TaskWorld({ clock, rqlite, store, authority, others });
    await store.commit({
      opId: "host",
      guards: [],
      statements: ["host-1", ...others].map((id) => saveHost(store.db, host(id), clock.nowMs())),
    });
    return world;
  }

  /** Starts a worker on host-1, as a newly started server does. */
  startWorker(
    options: {
      readonly deathAt?: DeathAt;
      readonly wrap?: WrapStep;
      readonly hostWork?: Partial<HostWork>;
    } = {},
  ): RunningWorker {
    this.#incarnation += 1;
    const life = { commits: 0, dead: false };
    const rqlite = mortal(this.#rqlite, life, options.deathAt);
    const store = createStore({ rqlite, clock: this.clock, rng: seededRng(11) });
    const deps = {
      ...this.deps,
      store,
      sealer: this.#runtime.sealer,
      driver: this.#runtime.driver,
      executor: this.#runtime.executor,
      leading: async () => true,
      removeNode: this.#runtime.removeNode,
      issuer: this.#authority,
      hostWork: {
        make: async () => ({ kind: "member" as const }),
        unmake: async () => undefined,
        clean: async () => undefined,
        ...options.hostWork,
      },
      keeperAccess: () => ({
        store_urls: ["http://127.0.0.1:4001"],
        store_username: "keeper",
        store_password_file: "/var/lib/pgherd/store-password",
        log_level: "info",
      }),
      hostId: "host-1",
      incarnation: `incarnation-${this.#incarnation}`,
    } satisfies StepDeps & Record<string, unknown>;
    const real = createStepRunner(deps);
    const { wrap } = options;
    const worker = createWorker(deps, wrap ? (run) => wrap(run, real) : real);
    const stop = new AbortController();
    const ended = worker.run(stop.signal);
    return {
      commits: () => life.commits,
      dead: () => life.dead,
      kill() {
        life.dead = true;
      },
      stop: async () => {
        stop.abort(new DOMException("the test ends", "AbortError"));
        await this.until(async () => settled(ended));
      },
    };
  }

  /** Moves time, keepers and workers until the condition holds. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      if (await condition()) return;
      await this.keepers.pass();
      await this.clock.advance(TURN_MS);
    }
    throw new Error(`nothing happened for ${(TURNS_MAX * TURN_MS) / 1_000} s of the test's time`);
  }

  /** Moves everything until the task is final. */
  async ended(task: Pick<Task, "task_id" | "entity_id">): Promise<Task> {
    let now: Task | undefined;
    await this.until(async () => {
      now = await this.operations.getTask("database", task.entity_id, task.task_id);
      return now.completed_at !== undefined;
    });
    if (!now) throw new Error("no task");
    return now;
  }

  /** Everything that matters of the store and the driver's world, without ids of tasks, times and epochs. */
  async picture(): Promise<unknown> {
    const read = async (sql: string) =>
      (await this.#rqlite.request([{ sql, params: [] }]))[0]?.rows ?? [];
    return {
      databases: await read(
        "SELECT id, generation, state, was_available FROM databases ORDER BY id",
      ),
      instances: await read(
        "SELECT id, state, error, generation, config FROM instances ORDER BY id",
      ),
      resources: await read("SELECT key, resource FROM resources ORDER BY key"),
      ports: await read("SELECT * FROM ports ORDER BY host_id, port"),
      directories: [...this.driver.world.directories].sort(),
      keepers: [...this.driver.world.keepers.keys()].sort(),
    };
  }
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

/** A client that falls silent for ever when its process is dead. */
function mortal(
  rqlite: Rqlite,
  life: { commits: number; dead: boolean },
  deathAt: DeathAt | undefined,
): Rqlite {
  const silence = () => new Promise<never>(() => undefined);
  return {
    async request(statements, options) {
      if (life.dead) return silence();
      const writes = statements.some(({ sql }) => /^insert into operations_log/i.test(sql));
      if (!writes) return rqlite.request(statements, options);
      life.commits += 1;
      const dies = life.commits === deathAt?.commit;
      if (dies) life.dead = true;
      if (dies && !deathAt?.applied) return silence();
      const results = await rqlite.request(statements, options);
      return life.dead ? silence() : results;
    },
  };
}
