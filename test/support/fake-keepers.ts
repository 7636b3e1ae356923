// Plays the keepers of all instances against a store: applies configurations, reports, answers
// requests. A test makes one of them fail, stall or die. Nothing here knows of PostgreSQL.
import { and, asc, eq, isNotNull } from "drizzle-orm";
import type { SqliteRemoteDatabase } from "drizzle-orm/sqlite-proxy";
import type { Clock } from "../../src/base/clock.ts";
import { isAbort } from "../../src/base/errors.ts";
import { memberSlotName } from "../../src/postgres/replication.ts";
import type {
  InstanceConfig,
  InstanceHa,
  InstanceReport,
  KeeperAnswer,
  KeeperRequest,
  ReportedSlot,
} from "../../src/spec/instance-config.ts";
import type * as schema from "../../src/store/schema.ts";
import {
  haIntents,
  haLeases,
  instanceReports,
  instances,
  keeperRequests,
} from "../../src/store/schema.ts";
import type { Query } from "../../src/store/statement.ts";

/**
 * healthy: does what it is asked. failing: reports an error and refuses every request.
 * stalled: reports, but neither applies nor answers. dead: does nothing at all.
 */
export type FakeKeeperMode = "healthy" | "failing" | "stalled" | "dead";

interface KeeperStore {
  readonly db: Pick<SqliteRemoteDatabase<typeof schema>, "select" | "insert" | "update">;
  commit(change: {
    readonly opId: string;
    readonly guards: readonly never[];
    readonly statements: readonly Query[];
  }): Promise<unknown>;
}

/** All fake keepers of a test. An instance's keeper is healthy until told otherwise. */
export class FakeKeepers {
  /** Requests carried out, in order: `<instance id> <kind>`. */
  readonly answered: string[] = [];
  readonly #store: KeeperStore;
  readonly #clock: Clock;
  readonly #exists: (instanceId: string) => boolean;
  readonly #modes = new Map<string, FakeKeeperMode>();
  readonly #applied = new Map<string, number>();
  /** Slots that nobody asked for here, by instance. */
  readonly foreignSlots = new Map<string, readonly ReportedSlot[]>();
  /** By `<database>/<node>`. */
  readonly #holders = new Map<string, string | null>();
  #commits = 0;

  /** `exists` tells whether the driver runs a keeper of this instance; without it every instance has one. */
  constructor(
    store: KeeperStore,
    clock: Clock,
    exists: (instanceId: string) => boolean = () => true,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#exists = exists;
  }

  /** Changes how the keeper of one instance behaves from the next pass on. */
  set(instanceId: string, mode: FakeKeeperMode): void {
    this.#modes.set(instanceId, mode);
  }

  /** Passes over all instances until the signal aborts. */
  async run(signal: AbortSignal, pauseMs = 5): Promise<void> {
    try {
      while (!signal.aborted) {
        await this.pass();
        await this.#clock.sleep(pauseMs, signal);
      }
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) throw error;
    }
  }

  /** Lets every keeper look once at its configuration and its requests. */
  async pass(): Promise<void> {
    const rows = await this.#store.db
      .select({ id: instances.id, config: instances.config })
      .from(instances)
      .where(isNotNull(instances.config));
    for (const { id, config } of rows) {
      const mode = this.#modes.get(id) ?? "healthy";
      if (config === null || mode === "dead" || !this.#exists(id)) continue;
      // The column is written by the worker only, always from an InstanceConfig.
      const wanted = JSON.parse(config) as InstanceConfig;
      if (wanted.ha && mode === "healthy") await this.#lead(wanted);
      await this.#report(wanted, mode);
      if (mode !== "stalled") await this.#answer(wanted, mode);
    }
  }

  /** The lease of a group: the initial primary makes it, and whoever a switchover names takes it. */
  async #lead({ ha, instance_id, database_id, node_name }: InstanceConfig): Promise<void> {
    if (!ha) return;
    const leases = await this.#store.db
      .select()
      .from(haLeases)
      .where(and(eq(haLeases.databaseId, database_id), eq(haLeases.nodeName, node_name)));
    const [lease] = leases;
    if (!lease) {
      if (ha.initial_primary === instance_id) await this.#makeLease(database_id, node_name, ha);
      return;
    }
    this.#holders.set(`${database_id}/${node_name}`, lease.holder);
    const intents = await this.#store.db
      .select()
      .from(haIntents)
      .where(
        and(
          eq(haIntents.databaseId, database_id),
          eq(haIntents.nodeName, node_name),
          eq(haIntents.state, PENDING),
        ),
      );
    for (const { id, kind, payload } of intents) {
      const { to, instance_id: subject } = JSON.parse(payload) as {
        to?: string;
        instance_id?: string;
      };
      if (kind === "reinitialize" && subject === instance_id) await this.#finish(id, "copied");
      if (kind === "rewind" && subject === instance_id) await this.#finish(id, "nothing to rewind");
      if (kind !== "switchover" && kind !== "failover") continue;
      if (to !== instance_id) continue;
      await this.#commit(
        this.#store.db
          .update(haLeases)
          .set({ holder: to, epoch: lease.epoch + 1, phase: "open" })
          .where(and(eq(haLeases.databaseId, database_id), eq(haLeases.nodeName, node_name)))
          .toSQL(),
      );
      await this.#finish(id, `${to} is primary`);
    }
  }

  async #finish(intent: string, answer: string): Promise<void> {
    await this.#commit(
      this.#store.db
        .update(haIntents)
        .set({ state: "done", answer, finishedAtMs: this.#clock.nowMs() })
        .where(eq(haIntents.id, intent))
        .toSQL(),
    );
  }

  async #makeLease(databaseId: string, nodeName: string, ha: InstanceHa): Promise<void> {
    const sync = { version: 1, mode: "off", voters: [], quorum: 1, count: 0 };
    const row = {
      databaseId,
      nodeName,
      epoch: 1,
      seq: 0,
      nonce: "n",
      holder: ha.initial_primary,
      incarnation: "fake",
      ttlMs: 8_000,
      phase: "open" as const,
      timeline: 1,
      nextTimeline: 2,
      members: JSON.stringify(ha.members.map(({ instance_id }) => instance_id)),
      sync: JSON.stringify(sync),
      optime: "0/3000060",
      checkpointDone: 1,
    };
    await this.#commit(this.#store.db.insert(haLeases).values(row).toSQL());
  }

  #roleOf({ ha, instance_id, database_id, node_name }: InstanceConfig): "primary" | "replica" {
    const holder = this.#holders.get(`${database_id}/${node_name}`) ?? ha?.initial_primary;
    return ha === undefined || holder === instance_id ? "primary" : "replica";
  }

  async #report(config: InstanceConfig, mode: FakeKeeperMode): Promise<void> {
    if (mode === "healthy") this.#applied.set(config.instance_id, config.generation);
    const role = this.#roleOf(config);
    const nowMs = this.#clock.nowMs();
    const applied = this.#applied.get(config.instance_id) ?? 0;
    const foreign = this.foreignSlots.get(config.instance_id) ?? [];
    const report = {
      ...renderReport(config, mode, applied, nowMs, role),
      slots: { observed_at_ms: nowMs, rows: slotsOf(config, foreign) },
    };
    const row = { report: JSON.stringify(report), updatedAtMs: report.observed_at_ms };
    await this.#commit(
      this.#store.db
        .insert(instanceReports)
        .values({ instanceId: config.instance_id, ...row })
        .onConflictDoUpdate({ target: instanceReports.instanceId, set: row })
        .toSQL(),
    );
  }

  async #answer(config: InstanceConfig, mode: FakeKeeperMode): Promise<void> {
    const open = await this.#store.db
      .select({ id: keeperRequests.id, payload: keeperRequests.payload })
      .from(keeperRequests)
      .where(
        and(eq(keeperRequests.instanceId, config.instance_id), eq(keeperRequests.state, PENDING)),
      )
      .orderBy(asc(keeperRequests.createdAtMs));
    for (const { id, payload } of open) {
      // The column is written by steps only, always from a KeeperRequest.
      const { kind } = JSON.parse(payload) as KeeperRequest;
      const answer: KeeperAnswer =
        mode === "failing" ? { ok: false, detail: FAILURE } : { ok: true, detail: `${kind} done` };
      this.answered.push(`${config.instance_id} ${kind}`);
      await this.#commit(
        this.#store.db
          .update(keeperRequests)
          .set({
            state: answer.ok ? "done" : "failed",
            answer: JSON.stringify(answer),
            payload: "",
            finishedAtMs: this.#clock.nowMs(),
          })
          .where(eq(keeperRequests.id, id))
          .toSQL(),
      );
    }
  }

  async #commit(statement: Query): Promise<void> {
    this.#commits += 1;
    await this.#store.commit({
      opId: `fake-keepers-${this.#commits}`,
      guards: [],
      statements: [statement],
    });
  }
}

const PENDING = "pending";
const FAILURE = "the fake keeper was told to fail";

/** Everything that is wanted, as if it had always been there. */
function slotsOf(config: InstanceConfig, foreign: readonly ReportedSlot[]): ReportedSlot[] {
  const others = (config.ha?.members ?? []).filter((one) => one.instance_id !== config.instance_id);
  const member = others.map(({ instance_id }) => ({
    name: memberSlotName(instance_id),
    type: "physical" as const,
  }));
  const quiet = { active: false, temporary: false, failover: false, synced: false };
  const names = new Set(foreign.map(({ name }) => name));
  const wanted = [...member, ...(config.slots ?? [])].map((slot) => ({ ...quiet, ...slot }));
  return [...wanted.filter(({ name }) => !names.has(name)), ...foreign];
}

function renderReport(
  config: InstanceConfig,
  mode: FakeKeeperMode,
  appliedGeneration: number,
  nowMs: number,
  role: "primary" | "replica",
): InstanceReport {
  const running = config.run === "running" && appliedGeneration > 0;
  return {
    instance_id: config.instance_id,
    incarnation: "fake",
    observed_at_ms: nowMs,
    postgres_state: running ? "running" : "stopped",
    role: running ? role : "uninitialized",
    ...(running && role === "replica" ? { replication_state: "streaming" } : {}),
    postgres_version: `${config.postgres_major}.0`,
    system_identifier: "7000000000000000001",
    timeline: 1,
    lsn: "0/3000060",
    pending_restart: false,
    pending_restart_settings: [],
    applied_generation: appliedGeneration,
    ...(mode === "failing" ? { error: FAILURE } : {}),
    decision: running ? "the configuration is in effect" : "nothing runs",
  };
}
