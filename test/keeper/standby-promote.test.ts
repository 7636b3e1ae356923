// Promotion to an allotted timeline, and everybody following it, with every major that is here.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import type { OfflineState } from "../../agents/keeper/standby/mechanics.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isReservedHistory } from "../../src/postgres/timeline-history.ts";
import { completeServers, type Member, never, StandbyBench } from "../support/standby-bench.ts";

let bench: StandbyBench;
afterEach(() => bench.close());

const stallMs = 10_000;
const promote = async (member: Member, timeline: number) =>
  member.mechanics.promote(await member.session(), { timeline, stallMs }, never);
const positions = async (member: Member) => member.mechanics.positions(await member.session());
const history = (member: Member, timeline: number) =>
  `${member.dataDir}/pg_wal/0000000${timeline}.history`;

async function offline(member: Member): Promise<OfflineState> {
  const state = await member.mechanics.inspectOffline();
  if (!state) throw new Error("no data");
  return state;
}

async function ownEnd(member: Member) {
  const state = await offline(member);
  if (!state.end) throw new Error(`end unknown: ${state.endUnknown}`);
  return { ...state.end, history: state.history };
}

for (const server of completeServers()) {
  describe(`PostgreSQL ${server.major}`, () => {
    test("a promotion takes the allotted timeline; the others follow by reload, and the old primary as it is", async () => {
      bench = await StandbyBench.open(server);
      const old = await bench.primary();
      const winner = await bench.standby(old);
      const other = await bench.standby(old);
      await old.sql("CREATE TABLE t AS SELECT 1 AS n");
      await old.stop("fast");
      await winner.reconfigure({});
      const final = await winner.mechanics.letGo(await winner.session(), never);
      const end = await ownEnd(old);
      // H8, H9: the end of the old primary's last record is what the standbys have, to the byte.
      expect(final.end).toEqual({ timeline: 1, lsn: end.lsn });
      const outcome = await promote(winner, 4);
      expect(outcome).toMatchObject({ kind: "promoted", timeline: 4 });
      console.log(`promoted in ${outcome.kind === "promoted" ? outcome.tookMs : 0} ms`);
      await winner.mechanics.checkpoint(await winner.session(), never);
      for (const timeline of [2, 3]) {
        expect(isReservedHistory(readFileSync(history(winner, timeline), "utf8"))).toBe(true);
      }
      await winner.sql("INSERT INTO t VALUES (2)");
      await other.reconfigure({ follow: winner });
      await other.untilCaughtUp(winner);
      expect(await other.value("SELECT sum(n) FROM t")).toBe("3");
      expect((await positions(other)).end.timeline).toBe(4);
      const judgement = await old.mechanics.judge(winner.peer, end, never);
      expect(judgement.kind).toBe("follow");
      await old.mechanics.prepareStandby();
      await old.start({ follow: winner });
      await old.untilCaughtUp(winner);
      expect(await old.value("SELECT sum(n) FROM t")).toBe("3");
      // A follower that fetched the reserved numbers too starts again with them.
      await other.stop("fast");
      await other.mechanics.prepareStandby();
      await other.start({ follow: winner });
      await other.untilStreaming();
      // Numbers that were used cannot be had again, and the next one needs no reservation.
      expect(await promote(other, 4)).toMatchObject({ kind: "refused" });
      expect(await promote(other, 3)).toMatchObject({ kind: "refused" });
      expect(await promote(other, 5)).toMatchObject({ kind: "promoted", timeline: 5 });
    }, 180_000);

    test("reserved numbers of a promotion that never came do not keep a standby from starting", async () => {
      bench = await StandbyBench.open(server);
      const primary = await bench.primary();
      const standby = await bench.standby(primary);
      for (const timeline of [2, 3]) {
        await standby.put(
          history(standby, timeline),
          "# timeline reserved by the control plane, never used\n",
        );
      }
      await standby.stop("fast");
      await standby.configure({ follow: primary });
      standby.spawn();
      await standby.until("what has to be prevented", async () =>
        /unexpected timeline ID 1|is not a child of/.test(standby.log()) ? true : undefined,
      );
      await standby.kill();
      await standby.mechanics.prepareStandby();
      expect(existsSync(history(standby, 2))).toBe(false);
      await standby.start({ follow: primary });
      await standby.untilStreaming();
      expect(await promote(standby, 2)).toMatchObject({ kind: "promoted" });
    }, 180_000);
  });
}

test("a promotion that makes no progress is given up, and says how far it came", async () => {
  bench = await StandbyBench.open(completeServers()[0] ?? { major: 15, binDir: "" });
  const primary = await bench.primary();
  const standby = await bench.standby(primary);
  const pid = await standby.value(
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'",
  );
  process.kill(Number(pid), "SIGSTOP");
  const startedMs = systemClock.monotonicMs();
  const session = await standby.session();
  const outcome = await standby.mechanics.promote(session, { timeline: 2, stallMs: 500 }, never);
  expect(outcome).toMatchObject({ kind: "timed_out" });
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(3_000);
  process.kill(Number(pid), "SIGCONT");
}, 180_000);
