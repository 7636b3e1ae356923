// A node of several instances with everything real on one machine: one rqlited, and for each instance a fencer, a
// keeper and a PostgreSQL in directories and on ports of their own. Their certificates come from one authority.
import { writeFileSync } from "node:fs";
import { systemClock } from "../../src/base/clock.ts";
import { messageOf } from "../../src/base/errors.ts";
import { systemRng } from "../../src/base/rng.ts";
import { isElectable, type SyncRecord } from "../../src/ha/quorum.ts";
import type { HaMember, HaSettings, HaTags, SynchronousSettings } from "../../src/ha/settings.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import {
  KeptInstance,
  postgresUser,
  type TestServer,
  until as untilWithin,
} from "./kept-instance.ts";
import { startTestRqlited, type TestRqlited } from "./rqlited.ts";

/** Making and copying data takes long on a loaded machine. */
function until<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  return untilWithin(what, attempt, 90_000);
}

/** Short times, so that a test does not wait; the order of their sizes is that of the defaults. */
export const quickSettings: HaSettings = {
  ttl_ms: 5_000,
  loop_ms: 500,
  retry_ms: 1_500,
  guard_ms: 1_000,
  maximum_lag_bytes: 1_048_576,
  primary_start_timeout_ms: 10_000,
  primary_stop_timeout_ms: 0,
  failsafe: true,
  profile: "fast",
  synchronous: { mode: "off", count: 1, strict: false, selection: "any", degrade_after_ms: 2_000 },
};

/** Commits wait for one standby, and for ever where there is none. */
export const strict: SynchronousSettings = {
  mode: "on",
  count: 1,
  strict: true,
  selection: "first",
  degrade_after_ms: 1_000,
};

export interface GroupOptions {
  readonly size?: number;
  readonly settings?: Partial<HaSettings>;
  readonly tags?: readonly HaTags[];
  readonly server?: TestServer;
  readonly parameters?: Readonly<Record<string, string>>;
}

export class KeptGroup {
  readonly rqlited: TestRqlited;
  readonly instances: readonly KeptInstance[];
  readonly #options: GroupOptions;
  settings: HaSettings;
  #intents = 0;

  private constructor(rqlited: TestRqlited, instances: readonly KeptInstance[], o: GroupOptions) {
    this.rqlited = rqlited;
    this.instances = instances;
    this.#options = o;
    this.settings = { ...quickSettings, ...o.settings };
  }

  /** Everything but the agents runs, and every instance has its configuration. */
  static async prepare(options: GroupOptions = {}): Promise<KeptGroup> {
    const rqlited = await startTestRqlited();
    await migrate({ rqlite: rqlited.client(), clock: systemClock }, migrations);
    const authority = await createAuthority("test", systemClock.nowMs(), systemRng);
    const instances: KeptInstance[] = [];
    for (let n = 1; n <= (options.size ?? 3); n++) {
      const id = `shop-n1-${String(n).repeat(8)}`;
      const certificates = await issueAll(authority, id);
      const certify = (directory: string) => writeAll(directory, certificates);
      instances.push(
        await KeptInstance.join(rqlited, { id, hostId: `host-${n}`, certify }, options.server),
      );
    }
    const group = new KeptGroup(rqlited, instances, options);
    await group.configure();
    return group;
  }

  /** Writes a next generation of every instance's configuration. */
  async configure(change: Partial<InstanceConfig> = {}): Promise<void> {
    for (const instance of this.instances) await instance.configure(this.config(instance, change));
  }

  config(instance: KeptInstance, change: Partial<InstanceConfig> = {}): InstanceConfig {
    const parameters = {
      hot_standby_feedback: "on",
      wal_level: "logical",
      wal_log_hints: "on",
      wal_sender_timeout: "5s",
      ...this.#options.parameters,
      ...change.parameters,
    };
    return instance.config({
      ha: {
        members: this.members(),
        initial_primary: this.at(0).id,
        settings: this.settings,
      },
      ...change,
      parameters,
    });
  }

  members(): readonly HaMember[] {
    return this.instances.map((instance, index) => ({
      instance_id: instance.id,
      host_id: `host-${index + 1}`,
      addresses: ["127.0.0.1"],
      port: instance.port,
      rest_port: instance.restPort,
      tags: this.#options.tags?.[index] ?? {},
    }));
  }

  at(index: number): KeptInstance {
    const instance = this.instances[index];
    if (!instance) throw new Error(`the group has no instance ${index}`);
    return instance;
  }

  start(): void {
    for (const instance of this.instances) {
      instance.startFencer();
      instance.startKeeper();
    }
  }

  /** The instance that is primary and takes writes, once there is exactly one. */
  async primary(except?: KeptInstance): Promise<KeptInstance> {
    const beganMs = systemClock.monotonicMs();
    const one = async () => {
      const found: KeptInstance[] = [];
      for (const instance of this.instances) if (await isPrimary(instance)) found.push(instance);
      const [first] = found;
      return found.length === 1 && first !== except ? first : undefined;
    };
    try {
      return await until("a primary", one);
    } catch (cause) {
      const waitedMs = Math.round(systemClock.monotonicMs() - beganMs);
      const lease = await this.read("SELECT * FROM ha_leases").then(JSON.stringify, messageOf);
      const logs = this.instances.map((each) => each.logs().slice(-evidenceChars));
      throw new Error([`no primary for ${waitedMs} ms`, lease, ...logs].join("\n"), { cause });
    }
  }

  /** The others, all streaming from the primary. */
  async standbys(primary: KeptInstance, count = this.instances.length - 1): Promise<void> {
    await until("streaming standbys", async () => {
      const sql = `SELECT count(*) FROM pg_stat_replication
                    WHERE state = 'streaming' AND application_name ~ '^pgherd_[0-9a-f]+$'`;
      const streaming = await primary.query(sql).catch(() => "0");
      return Number(streaming) >= count ? true : undefined;
    });
  }

  /** The synchronous record of the lease. */
  async record(): Promise<SyncRecord> {
    const [row] = await this.read("SELECT sync FROM ha_leases");
    return JSON.parse(String(row?.[0]));
  }

  /** Until by the record somebody may follow the primary: before that nobody but it is known to have all commits. */
  async electable(): Promise<void> {
    await until("a record by which somebody can be elected", async () => {
      const record = await this.record();
      return record.voters.length > 0 && isElectable(record) ? true : undefined;
    });
  }

  /** Records an intent as the API does; answers its id. */
  async ask(kind: string, payload: Readonly<Record<string, unknown>>): Promise<string> {
    this.#intents += 1;
    const id = `intent-${this.#intents}`;
    await this.#write(
      `INSERT INTO ha_intents (id, database_id, node_name, kind, payload, state, created_at_ms)
       VALUES (?, 'shop', 'n1', ?, ?, 'pending', ?)`,
      id,
      kind,
      JSON.stringify(payload),
      this.#intents,
    );
    return id;
  }

  /** Ends an intent as the API does, e.g. a pause. */
  async settle(id: string): Promise<void> {
    await this.#write("UPDATE ha_intents SET state = 'done', finished_at_ms = 1 WHERE id = ?", id);
  }

  /** States of all intents, oldest first, once none is open. */
  async settledIntents(): Promise<readonly string[]> {
    return until("intents to settle", async () => {
      const rows = await this.read("SELECT state FROM ha_intents ORDER BY created_at_ms");
      const states = rows.map(([state]) => String(state));
      return states.some((state) => ["pending", "running"].includes(state)) ? undefined : states;
    });
  }

  /** The lease's row by column. */
  async lease(): Promise<{ readonly epoch: number; readonly holder: string | null }> {
    const [row = []] = await this.read("SELECT epoch, holder FROM ha_leases");
    return { epoch: Number(row[0]), holder: typeof row[1] === "string" ? row[1] : null };
  }

  async read(sql: string): Promise<readonly (readonly unknown[])[]> {
    return (await this.rqlited.client().request([{ sql, params: [] }]))[0]?.rows ?? [];
  }

  /** Everything of the host dies at once: keeper, fencer, PostgreSQL. */
  async loseHost(instance: KeptInstance): Promise<void> {
    instance.keeper?.kill("SIGKILL");
    instance.fencer?.kill("SIGKILL");
    await instance.killPostgres();
  }

  returnHost(instance: KeptInstance): void {
    instance.startFencer();
    instance.startKeeper();
  }

  async #write(sql: string, ...params: readonly (string | number)[]): Promise<void> {
    const bump = { sql: "UPDATE changes SET version = version + 1", params: [] };
    await this.rqlited.client().request([{ sql, params }, bump], { transaction: true });
  }

  /** Waits until every instance answers the same. */
  async everywhere(sql: string, answer: string): Promise<void> {
    for (const instance of this.instances) {
      await until(`${answer} on ${instance.id}`, async () => {
        const got = await instance.query(sql).catch(() => undefined);
        return got === answer ? true : undefined;
      });
    }
  }

  async close(): Promise<void> {
    const path = process.env.PGHERD_TEST_LOGS;
    if (path) writeFileSync(path, this.logs());
    await Promise.all(this.instances.map((instance) => instance.leave()));
    await this.rqlited.dispose();
  }

  logs(): string {
    return this.instances.map((each) => `===== ${each.id}\n${each.logs()}`).join("\n");
  }
}

/** Of each instance, when a test fails for want of a primary. */
const evidenceChars = 6_000;

/** By what its keeper answers now. */
export async function isPrimary(instance: KeptInstance): Promise<boolean> {
  // A keeper that is stopped takes the connection and says nothing.
  const signal = AbortSignal.timeout(1_000);
  const answer = await fetch(`${instance.url}/primary`, { signal }).catch(() => undefined);
  return answer?.status === 200;
}

type Pairs = Readonly<Record<string, string>>;

async function issueAll(authority: Authority, id: string): Promise<Pairs> {
  const now = systemClock.nowMs();
  const server = {
    purpose: "server",
    commonName: id,
    addresses: ["127.0.0.1", "localhost"],
  } as const;
  const requests = {
    server,
    superuser: { purpose: "client", commonName: "pgedge" },
    replication: { purpose: "client", commonName: "patroni_replicator" },
  } as const;
  const files: Record<string, string> = { "ca.crt": authority.certificatePem };
  for (const [name, request] of Object.entries(requests)) {
    const issued = await authority.issue(request, now);
    files[`${name}.crt`] = issued.certificatePem;
    files[`${name}.key`] = issued.privateKeyPem.reveal();
  }
  return files;
}

function writeAll(directory: string, files: Pairs): void {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(`${directory}/${name}`, text, { mode: name.endsWith(".key") ? 0o600 : 0o644 });
  }
  if (postgresUser) Bun.spawnSync(["chown", "-R", postgresUser, directory]);
}
