// What the leases of many nodes cost the store: simulated keepers, with the real relay of their host between them and a
// real rqlited, renew leases and write their rows as keepers do. The same without relays is the peer.
//   bun bench/ha-store.ts [hosts] [seconds]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openKernel } from "../agents/fencer/kernel.ts";
import { Relay } from "../agents/keeper/relay/relay.ts";
import { systemClock } from "../src/base/clock.ts";
import { silentLogger } from "../src/base/log.ts";
import { created, type LeaseRow, renewed } from "../src/ha/lease.ts";
import type { HaSettings } from "../src/ha/settings.ts";
import type { MemberStatus } from "../src/ha/state.ts";
import { createLeaseStore, type LeaseStore } from "../src/store/ha-lease.ts";
import type { PatientWrites } from "../src/store/ha-store.ts";
import { migrate } from "../src/store/migrate.ts";
import { migrations } from "../src/store/migrations.gen.ts";
import type { Rqlite } from "../src/store/rqlite.ts";
import { isRead } from "../src/store/statement.ts";
import { startTestRqlited } from "../test/support/rqlited.ts";
import { median, percentile } from "./figures.ts";

const hosts = Number(process.argv[2] ?? 50);
const seconds = Number(process.argv[3] ?? 12);
/** How often a member writes its row when nothing changes. */
const memberBeatMs = 2_000;
const settings: HaSettings = {
  ttl_ms: 15_000,
  loop_ms: 2_000,
  retry_ms: 4_000,
  guard_ms: 2_000,
  maximum_lag_bytes: 1_048_576,
  primary_start_timeout_ms: 10_000,
  primary_stop_timeout_ms: 0,
  failsafe: true,
  profile: "default",
  synchronous: { mode: "off", count: 1, strict: false, selection: "any", degrade_after_ms: 0 },
};
const sync = { version: 0, mode: "off", voters: [], quorum: 1, count: 0 } as const;

interface Outcome {
  readonly instances: number;
  readonly writesPerSecond: number;
  readonly renewals: readonly number[];
  readonly failures: number;
}

/** One host's instances: the first of every three is the primary of a node and renews, all write their rows. */
async function run(perHost: number, relayed: boolean): Promise<Outcome> {
  const store = await startTestRqlited();
  const directory = mkdtempSync(join(tmpdir(), "bench-relay-"));
  const ending = new AbortController();
  const { signal } = ending;
  let writes = 0;
  let failures = 0;
  const renewals: number[] = [];
  try {
    const rqlite = await store.empty();
    await migrate({ rqlite, clock: systemClock }, migrations);
    const counting: Rqlite = {
      request(statements, options) {
        if (!statements.every(isRead)) writes += 1;
        return rqlite.request(statements, options);
      },
    };
    const keepers: Promise<void>[] = [];
    const running: Promise<void>[] = [];
    for (let host = 0; host < hosts; host++) {
      const relay = relayed ? relayOf(counting, join(directory, `${host}.relay`)) : undefined;
      if (relay) running.push(relay.run(signal));
      for (let n = 0; n < perHost; n++) {
        const node = `${host}-${n}`;
        const deps = { rqlite: counting, clock: systemClock, ...(relay ? { patient: relay } : {}) };
        const lease = createLeaseStore(deps, { databaseId: node, nodeName: "n1" });
        const row = n % 3 === 0 ? await make(lease, node) : undefined;
        keepers.push(keep({ lease, node, row, signal, renewals, failed: () => (failures += 1) }));
      }
    }
    await systemClock.sleep(3_000);
    const before = writes;
    renewals.length = 0;
    await systemClock.sleep(seconds * 1_000);
    const writesPerSecond = (writes - before) / seconds;
    ending.abort();
    await Promise.allSettled([...keepers, ...running]);
    return { instances: hosts * perHost, writesPerSecond, renewals: [...renewals], failures };
  } finally {
    ending.abort();
    await store.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
}

function relayOf(rqlite: Rqlite, socket: string): Relay & PatientWrites {
  const { lock } = openKernel();
  return new Relay({ clock: systemClock, log: silentLogger, rqlite, socket, lock });
}

async function make(lease: LeaseStore, self: string): Promise<LeaseRow> {
  const writer = { self, incarnation: self, nonce: crypto.randomUUID(), settings };
  const { signal } = new AbortController();
  const options = { signal, deadlineMs: 10_000, timeoutMs: 5_000, atMs: 0, news: false };
  const write = created(writer, { members: [self], sync, data: null });
  await lease.write(write, options);
  return write.row;
}

interface Keeping {
  readonly lease: LeaseStore;
  readonly node: string;
  readonly row: LeaseRow | undefined;
  readonly signal: AbortSignal;
  readonly renewals: number[];
  readonly failed: () => void;
}

async function keep({ lease, node, row, signal, renewals, failed }: Keeping): Promise<void> {
  // Keepers did not start at the same moment.
  await systemClock.sleep(Math.random() * settings.loop_ms, signal).catch(() => undefined);
  const { retry_ms, loop_ms } = settings;
  const once = { signal, timeoutMs: retry_ms / 3 };
  const options = { ...once, deadlineMs: retry_ms, atMs: 0, news: false };
  let own = row;
  let beat = 0;
  let beatenMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const beganMs = systemClock.monotonicMs();
    try {
      if (own) {
        const writer = { self: node, incarnation: node, nonce: crypto.randomUUID(), settings };
        const write = renewed(own, writer, { optime: "0/10" });
        if ((await lease.write(write, options)).kind !== "done") failed();
        else own = write.row;
        renewals.push(systemClock.monotonicMs() - beganMs);
      }
      if (beganMs - beatenMs >= memberBeatMs) {
        beatenMs = beganMs;
        beat += 1;
        await lease.saveMember(statusOf(node, beat), false, 0, once);
      }
    } catch (error) {
      if (signal.aborted) return;
      failed();
      if (!(error instanceof Error)) throw error;
    }
    const pauseMs = Math.max(0, loop_ms - (systemClock.monotonicMs() - beganMs));
    await systemClock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

function statusOf(instance_id: string, beat: number): MemberStatus {
  return {
    instance_id,
    incarnation: instance_id,
    beat,
    state: "standby",
    role: "standby",
    system_identifier: "7512345678901234567",
    timeline: 1,
    receive_lsn: "0/3000060",
    replay_lsn: "0/3000060",
    streaming: true,
    upstream: "n",
    seen: { epoch: 1, seq: beat },
    vote: null,
    unfit: null,
    leaving: false,
  };
}

function print(what: string, { instances, writesPerSecond, renewals, failures }: Outcome): void {
  const p99 = percentile(renewals, 0.99);
  console.log(
    `${what.padEnd(16)} ${String(instances).padStart(5)} instances on ${hosts} hosts: ` +
      `${writesPerSecond.toFixed(1)} writes/s, renewal median ${median(renewals).toFixed(0)} ms, ` +
      `p99 ${p99.toFixed(0)} ms, ${failures} failed`,
  );
}

const few = await run(2, true);
print("with relays", few);
const many = await run(20, true);
print("with relays", many);
const alone = await run(4, false);
print("without relays", alone);
const growth = many.writesPerSecond / few.writesPerSecond;
const saved = (alone.writesPerSecond / alone.instances) * many.instances;
console.log(
  `ten times the instances: ${growth.toFixed(2)} times the writes (at most 1.5: ${growth <= 1.5 ? "yes" : "no"}); ` +
    `${(many.writesPerSecond / hosts).toFixed(2)} a host and second; without relays ${saved.toFixed(0)} writes/s ` +
    `would be needed, ratio ${(many.writesPerSecond / saved).toFixed(3)}`,
);
