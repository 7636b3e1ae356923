// Data that went its own way comes back: by rewind where that is possible and right, by a fresh copy where not.
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { Judgement, OfflineState } from "../../agents/keeper/standby/mechanics.ts";
import { systemClock } from "../../src/base/clock.ts";
import {
  type CompleteServer,
  completeServers,
  type Member,
  never,
  StandbyBench,
} from "../support/standby-bench.ts";

let bench: StandbyBench;
afterEach(() => bench.close());

const servers = completeServers();
const oldest = servers[0] ?? { major: 15, binDir: "" };
const kept = (member: Member, what: string) =>
  readdirSync(member.file.layout.base_dir).filter((name) => name.startsWith(`data.${what}-`));

async function offline(member: Member): Promise<OfflineState> {
  const state = await member.mechanics.inspectOffline();
  if (!state) throw new Error("no data");
  return state;
}

async function judgeStopped(member: Member, by: Member): Promise<Judgement> {
  const state = await offline(member);
  if (!state.end) throw new Error(`end unknown: ${state.endUnknown}`);
  const own = { ...state.end, history: state.history };
  return member.mechanics.judge(by.peer, own, never);
}

/** An old primary that went on alone after the other was promoted to timeline 2. */
async function split(server: CompleteServer): Promise<{ old: Member; winner: Member }> {
  bench = await StandbyBench.open(server);
  const old = await bench.primary();
  await old.sql("CREATE TABLE t AS SELECT 1 AS n");
  const winner = await bench.standby(old);
  await winner.untilCaughtUp(old);
  await winner.reconfigure({});
  await winner.mechanics.letGo(await winner.session(), never);
  await old.sql("INSERT INTO t SELECT 100 FROM generate_series(1, 5000)");
  const session = await winner.session();
  const outcome = await winner.mechanics.promote(session, { timeline: 2, stallMs: 5_000 }, never);
  expect(outcome.kind).toBe("promoted");
  await winner.sql("INSERT INTO t VALUES (2)");
  return { old, winner };
}

for (const server of servers) {
  describe(`PostgreSQL ${server.major}`, () => {
    test("a crashed primary that went on alone is recovered, judged and brought back", async () => {
      const { old, winner } = await split(server);
      await old.stop("immediate");
      expect((await offline(old)).endUnknown).toBe("crashed_primary");
      // As after a power loss: the number in its lock file is that of another server of the same user now.
      await old.put(`${old.dataDir}/postmaster.pid`, `${winner.pid}\n`);
      await old.mechanics.recoverAlone({ signal: never });
      // H7: until the new primary has checkpointed, which it does by itself some time, nobody is sent to it.
      expect(["wait", "diverged"]).toContain((await judgeStopped(old, winner)).kind);
      await winner.mechanics.checkpoint(await winner.session(), never);
      const judgement = await judgeStopped(old, winner);
      if (judgement.kind !== "diverged") throw new Error(judgement.kind);
      expect(judgement.kinship.lost.to).toBeGreaterThan(judgement.kinship.lost.from);
      if (server.major === 16) {
        expect(judgement.obstacles.join()).toContain("pg_rewind of PostgreSQL 16");
        const outcome = await old.mechanics.rewind(winner.peer, judgement, { signal: never });
        expect(outcome.kind).toBe("impossible");
        await winner.ensureSlots();
        await old.mechanics.cloneFrom(winner.peer, { signal: never });
        expect(kept(old, "kept")).toHaveLength(1);
      } else {
        expect(judgement).toMatchObject({ rewindable: true, obstacles: [] });
        const phases = new Set<string>();
        const outcome = await old.mechanics.rewind(winner.peer, judgement, {
          signal: never,
          onProgress: ({ phase }) => phases.add(phase),
        });
        if (outcome.kind !== "rewound") throw new Error(JSON.stringify(outcome.kind));
        expect(outcome.lost?.fromLsn).toBe(judgement.kinship.forkLsn);
        expect(readdirSync(outcome.lost?.keptIn ?? "")).toContain("000000010000000000000003");
        expect([...phases]).toEqual(["rewinding"]);
        expect(await old.mechanics.inspectLeftovers()).toBeUndefined();
      }
      await winner.ensureSlots();
      await old.start({ follow: winner });
      await old.untilCaughtUp(winner);
      expect(await old.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM t")).toBe("1,2");
      await old.mechanics.confirmClone(never);
      expect(kept(old, "kept")).toHaveLength(0);
      const state = JSON.parse(await Bun.file(`${old.dataDir}/pgherd.json`).text());
      expect(state.instance_id).toBe(old.id);
    }, 180_000);

    test("two histories under one timeline number are told apart and never mixed", async () => {
      bench = await StandbyBench.open(server);
      const old = await bench.primary();
      await old.sql("CREATE TABLE f (id int, who text)");
      const [a, b] = [await bench.standby(old), await bench.standby(old)];
      await a.untilCaughtUp(old);
      await b.untilCaughtUp(old);
      await old.stop("immediate");
      for (const [member, who] of [
        [a, "A"],
        [b, "B"],
      ] as const) {
        await member.sql("SELECT pg_promote()");
        await member.sql(`INSERT INTO f SELECT g, '${who}' FROM generate_series(1, 1000) g`);
        await member.mechanics.checkpoint(await member.session(), never);
      }
      await a.sql("INSERT INTO f SELECT g, 'A2' FROM generate_series(1, 20000) g");
      const running = await b.mechanics.positions(await b.session());
      const own = { ...running.end, history: running.history };
      expect(own.timeline).toBe(2);
      const judged = await b.mechanics.judge(a.peer, own, never);
      expect(judged).toMatchObject({ kind: "forked" });
      await b.stop("fast");
      const stopped = await judgeStopped(b, a);
      expect(stopped).toMatchObject({ kind: "forked" });
      const outcome = await b.mechanics.rewind(a.peer, stopped, { signal: never });
      expect(outcome).toMatchObject({ kind: "impossible" });
      await a.ensureSlots();
      await b.mechanics.cloneFrom(a.peer, { signal: never });
      await b.start({ follow: a });
      await b.untilCaughtUp(a);
      expect(await b.value("SELECT count(*) FROM f WHERE who = 'B'")).toBe("0");
      expect(await b.value("SELECT count(*) FROM f")).toBe("21000");
    }, 180_000);
  });
}

test("a standby that was ahead of the next primary starts, although it knows that one's history, and is rewound", async () => {
  bench = await StandbyBench.open(oldest);
  const old = await bench.primary();
  await old.sql("CREATE TABLE t AS SELECT 1 AS n");
  const ahead = await bench.standby(old);
  const winner = await bench.standby(old);
  await winner.untilCaughtUp(old);
  await winner.reconfigure({});
  await winner.mechanics.letGo(await winner.session(), never);
  await old.sql("INSERT INTO t SELECT 100 FROM generate_series(1, 5000)");
  await old.sql("CHECKPOINT");
  await ahead.untilCaughtUp(old);
  await ahead.sql("CHECKPOINT");
  await ahead.stop("immediate");
  await old.stop("immediate");
  const allotted = { timeline: 2, stallMs: 5_000 };
  await winner.mechanics.promote(await winner.session(), allotted, never);
  await winner.mechanics.checkpoint(await winner.session(), never);
  await winner.sql("INSERT INTO t VALUES (2)");
  // As when it was connected to the new primary for a moment.
  const history = "pg_wal/00000002.history";
  await ahead.put(
    `${ahead.dataDir}/${history}`,
    await Bun.file(`${winner.dataDir}/${history}`).text(),
  );
  await ahead.mechanics.prepareStandby();
  await winner.ensureSlots();
  await ahead.start({ follow: winner });
  expect(ahead.lines.join()).toContain("it began before the end of this data");
  const { end, history: own } = await ahead.mechanics.positions(await ahead.session());
  const judgement = await ahead.mechanics.judge(winner.peer, { ...end, history: own }, never);
  expect(judgement.kind).toBe("diverged");
  await ahead.stop("fast");
  const outcome = await ahead.mechanics.rewind(winner.peer, judgement, { signal: never });
  expect(outcome.kind).toBe("rewound");
  await ahead.start({ follow: winner });
  await ahead.untilCaughtUp(winner);
  expect(await ahead.value("SELECT sum(n) FROM t")).toBe("3");
}, 180_000);

test("a rewind that was cut leaves data that only a fresh copy replaces", async () => {
  const { old, winner } = await split(oldest);
  await old.stop("fast");
  await winner.mechanics.checkpoint(await winner.session(), never);
  const judgement = await judgeStopped(old, winner);
  // Everything but the real run of pg_rewind, which hangs in the middle.
  const tools = old.replaceProgram(
    "pg_rewind",
    `case "$*" in *--dry-run*|--version) exec "$real" "$@";; esac; echo half; sleep 60`,
  );
  const abort = new AbortController();
  const cut = old.mechanics.rewind(winner.peer, judgement, {
    signal: abort.signal,
    onProgress: ({ text }) => {
      if (text === "half") abort.abort(new Error("cut"));
    },
  });
  await expect(cut).rejects.toThrow("cut");
  tools.restore();
  const cutAt = { kind: "rewind", upstreamId: winner.id } as const;
  expect(await old.mechanics.inspectLeftovers()).toEqual(cutAt);
  const again = await old.mechanics.rewind(winner.peer, judgement, { signal: never });
  expect(again).toMatchObject({ kind: "impossible" });
  await winner.ensureSlots();
  await old.mechanics.cloneFrom(winner.peer, { signal: never });
  expect(await old.mechanics.inspectLeftovers()).toBeUndefined();
  await old.start({ follow: winner });
  await old.untilCaughtUp(winner);
}, 180_000);

test("data of another system, and an upstream that is away, are told apart", async () => {
  bench = await StandbyBench.open(oldest);
  const one = await bench.primary();
  const other = await bench.primary();
  await one.stop("fast");
  expect(await judgeStopped(one, other)).toMatchObject({ kind: "foreign" });
  await other.stop("fast");
  const startedMs = systemClock.monotonicMs();
  await expect(judgeStopped(one, other)).rejects.toThrow("cannot be reached");
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(4_000);
}, 180_000);

test("a member that was away for too long is not sent after log that is gone", async () => {
  bench = await StandbyBench.open(oldest);
  const primary = await bench.primary({
    min_wal_size: "32MB",
    max_wal_size: "32MB",
    wal_keep_size: "0",
  });
  const standby = await bench.standby(primary);
  const positions = await standby.mechanics.positions(await standby.session());
  await standby.stop("fast");
  await primary.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  for (let n = 0; n < 8; n++) {
    await primary.sql(
      `CREATE TABLE filler${n} AS SELECT repeat('x', 1000) FROM generate_series(1, 12000)`,
    );
    await primary.sql("SELECT pg_switch_wal()");
    await primary.sql("CHECKPOINT");
  }
  const own = { ...positions.end, history: positions.history };
  expect(await standby.mechanics.judge(primary.peer, own, never)).toMatchObject({
    kind: "too_old",
  });
}, 180_000);
