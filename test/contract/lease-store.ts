// What the lease of a node must do on every store, whatever becomes of its requests on the way.
import { beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import {
  acquired,
  adopted,
  created,
  type LeaseRow,
  type LeaseWrite,
  released,
  renewed,
  type Taking,
  versionOf,
} from "../../src/ha/lease.ts";
import type { SyncRecord } from "../../src/ha/quorum.ts";
import type { HaSettings } from "../../src/ha/settings.ts";
import type { MemberStatus } from "../../src/ha/state.ts";
import { createLeaseStore, type LeaseStore } from "../../src/store/ha-lease.ts";
import type { PatientWrites } from "../../src/store/ha-store.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { isRead } from "../../src/store/statement.ts";
import { StoreError } from "../../src/store/store-error.ts";

const settings: HaSettings = {
  ttl_ms: 15_000,
  loop_ms: 2_000,
  retry_ms: 4_000,
  guard_ms: 2_000,
  maximum_lag_bytes: 0,
  primary_start_timeout_ms: 0,
  primary_stop_timeout_ms: 0,
  failsafe: true,
  profile: "default",
  synchronous: { mode: "off", count: 1, strict: false, selection: "any", degrade_after_ms: 0 },
};
const sync: SyncRecord = { version: 0, mode: "off", voters: [], quorum: 1, count: 0 };
const standby: Taking = { timeline: 1, resumes: false, sync, reason: "expired", lost: null };
const { signal } = new AbortController();
const once = { signal, timeoutMs: 2_000 };
const options = { ...once, deadlineMs: 4_000, atMs: 7, news: true };
const node = { databaseId: "shop", nodeName: "n1" };

/** What happens to writes on their way. */
type Fate = "arrives" | "answer lost" | "lost" | "doubled" | "late";

export interface StoreOfTables {
  /** A client of a store without tables. */
  empty(): Promise<Rqlite>;
}

export function leaseContract(name: string, given: StoreOfTables): void {
  describe(`lease contract: ${name}`, () => {
    let rqlite: Rqlite;
    let fates: Fate[];
    /** Writes that are still under way. */
    let underWay: (() => Promise<unknown>)[];
    let store: LeaseStore;
    let nonces = 0;
    const writer = (self: string, incarnation = `${self}-1`) => {
      nonces += 1;
      return { self, incarnation, nonce: `nonce-${nonces}`, settings };
    };
    const outcome = async (write: LeaseWrite) => (await store.write(write, options)).kind;
    const lease = async () => (await store.load(once)).lease;
    async function make(members = ["a", "b", "c"]): Promise<LeaseRow> {
      const first = created(writer("a"), { members, sync, data: null });
      expect(await outcome(first)).toBe("done");
      return first.row;
    }

    beforeEach(async () => {
      rqlite = await given.empty();
      await migrate({ rqlite, clock: systemClock }, migrations);
      fates = [];
      underWay = [];
      const unreliable: Rqlite = {
        request(statements, requestOptions) {
          const send = () => rqlite.request(statements, requestOptions);
          const fate = statements.every(isRead) ? "arrives" : (fates.shift() ?? "arrives");
          return meet(fate, send, underWay);
        },
      };
      store = createLeaseStore({ rqlite: unreliable, clock: systemClock }, node);
    });

    test("the row reads as it was written, through all its changes", async () => {
      const first = await make();
      expect(await lease()).toEqual(first);
      const change = {
        phase: "open",
        system_identifier: "7512345678901234567",
        checkpoint_done: true,
        members: ["a", "b"],
        sync: { version: 1, mode: "on", voters: ["b"], quorum: 1, count: 1 },
      } as const;
      const second = renewed(first, writer("a"), { optime: "0/3000060", change });
      expect(await outcome(second)).toBe("done");
      expect(await lease()).toEqual(second.row);
      const third = adopted(second.row, writer("a", "a-2"));
      expect(await outcome(third)).toBe("done");
      const ending = {
        kind: "clean",
        holder: "a",
        lsn: "0/4000000",
        timeline: 1,
        successor: "b",
      } as const;
      const fourth = released(third.row, writer("a", "a-2"), ending);
      expect(await outcome(fourth)).toBe("done");
      expect(await lease()).toEqual(fourth.row);
      const fifth = acquired(fourth.row, writer("b"), standby);
      expect(await outcome(fifth)).toBe("done");
      expect(await lease()).toMatchObject({ epoch: 2, seq: 0, holder: "b", timeline: 2 });
    });

    test("a node is made once, and nobody else's row is touched", async () => {
      const first = await make();
      const again = created(writer("b"), { members: ["b"], sync, data: null });
      expect(await store.write(again, options)).toEqual({ kind: "lost", found: first });
      const other = createLeaseStore({ rqlite, clock: systemClock }, { ...node, nodeName: "n2" });
      expect((await other.load(once)).lease).toBeUndefined();
      expect((await other.write(again, options)).kind).toBe("done");
      expect(await lease()).toEqual(first);
    });

    test("a lease that is given back is taken before or after its release is there, and not after anything else", async () => {
      const ending = {
        kind: "manual",
        holder: "a",
        lsn: "0/4000000",
        timeline: 1,
        successor: "b",
      } as const;
      for (const order of ["taken first", "released first", "held again"] as const) {
        rqlite = await given.empty();
        await migrate({ rqlite, clock: systemClock }, migrations);
        const held = await make();
        const release = released(held, writer("a"), ending);
        const take = acquired(release.row, writer("b"), standby, versionOf(held));
        if (order === "released first") expect(await outcome(release)).toBe("done");
        if (order === "held again") {
          expect(await outcome(adopted(held, writer("a", "a-2")))).toBe("done");
        }
        fates = ["answer lost"];
        expect(await outcome(take)).toBe(order === "held again" ? "lost" : "done");
        expect((await lease())?.holder).toBe(order === "held again" ? "a" : "b");
        expect(await outcome(release)).toBe("lost");
        const { length } = await store.loadEpochs(once);
        expect(length).toBe(order === "held again" ? 1 : 2);
      }
    });

    test("of two who saw the same row one takes it; a renewal meanwhile beats both", async () => {
      const first = await make();
      const takes = ["b", "c"].map((self) => acquired(first, writer(self), standby));
      const outcomes = await Promise.all(takes.map(outcome));
      expect(outcomes.toSorted()).toEqual(["done", "lost"]);
      const held = await lease();
      if (!held) throw new Error("no lease");
      const late = renewed(first, writer("a"), {});
      expect(await store.write(late, options)).toEqual({ kind: "lost", found: held });
      const renewal = renewed(held, { ...writer(held.holder ?? "") }, {});
      expect(await outcome(renewal)).toBe("done");
      expect(await outcome(acquired(held, writer("a"), standby))).toBe("lost");
    });

    test.each<Fate>(["answer lost", "lost", "doubled"])(
      "a write that is %s is there once, and said to be",
      async (fate) => {
        const first = await make();
        fates = [fate];
        const renewal = renewed(first, writer("a"), {});
        expect(await outcome(renewal)).toBe("done");
        expect(await lease()).toEqual(renewal.row);
        fates = [fate, fate];
        const taken = acquired(renewal.row, writer("b"), standby);
        expect(await outcome(taken)).toBe("done");
        expect((await store.loadEpochs(once)).map(({ epoch }) => epoch)).toEqual([1, 2]);
      },
    );

    test("a write that arrives late finds its guard gone", async () => {
      const first = await make();
      fates = ["late"];
      const hanging = renewed(first, writer("a"), {});
      expect(await outcome(hanging)).toBe("done");
      const taken = acquired(hanging.row, writer("b"), standby);
      expect(await outcome(taken)).toBe("done");
      for (const send of underWay) await send();
      expect(await lease()).toEqual(taken.row);
      expect(await store.loadEpochs(once)).toHaveLength(2);
    });

    test("what cannot be found out in time is unknown", async () => {
      const first = await make();
      fates = Array.from({ length: 1_000 }, () => "lost" as const);
      const quick = { ...options, deadlineMs: 150, timeoutMs: 50 };
      const outcome = await store.write(renewed(first, writer("a"), {}), quick);
      expect(outcome.kind).toBe("unknown");
    });

    test("a quiet renewal goes with those of others; what becomes of it is found out", async () => {
      const first = await make();
      const ways: ("shared" | "hangs" | "answer lost")[] = ["shared", "hangs", "answer lost"];
      const shared: number[] = [];
      let direct = 0;
      const counting: Rqlite = {
        request(statements, requestOptions) {
          if (!statements.every(isRead)) direct += 1;
          return rqlite.request(statements, requestOptions);
        },
      };
      const patient: PatientWrites = {
        async write(statements) {
          shared.push(statements.length);
          const way = ways.shift();
          if (way === "hangs") return new Promise(() => undefined);
          const results = await rqlite.request(statements, { transaction: false });
          if (way === "answer lost") throw new StoreError("unknown", "lost");
          return results;
        },
      };
      const together = createLeaseStore({ rqlite: counting, clock: systemClock, patient }, node);
      const quiet = { ...options, news: false, timeoutMs: 200 };
      let row = first;
      for (const expected of [0, 1, 1]) {
        const write = renewed(row, writer("a"), { optime: "0/10" });
        expect((await together.write(write, quiet)).kind).toBe("done");
        expect([direct, await lease()]).toEqual([expected, write.row]);
        row = write.row;
      }
      expect(shared).toEqual([1, 1, 1]);
      const change = { phase: "open" } as const;
      const news = renewed(row, writer("a"), { change });
      expect((await together.write(news, options)).kind).toBe("done");
      expect([shared.length, direct]).toEqual([3, 2]);
    });

    test("the history tells who had which epoch, and where its timeline began", async () => {
      const first = await make();
      const taken = acquired(first, writer("b"), { ...standby, lost: "0/10 bytes" });
      await store.write(taken, options);
      const fork = { from_timeline: 1, switch_lsn: "0/5000000" };
      const forks = [{ timeline: 2, ...fork }];
      const completed = renewed(taken.row, writer("b"), { change: { phase: "open", forks } });
      expect(await outcome(completed)).toBe("done");
      const beaten = renewed(taken.row, writer("b"), {
        change: { forks: [{ timeline: 1, from_timeline: 9, switch_lsn: "9/9" }] },
      });
      expect(await outcome(beaten)).toBe("lost");
      expect(await store.loadEpochs(once)).toEqual([
        {
          epoch: 1,
          instance_id: "a",
          incarnation: "a-1",
          timeline: 1,
          from_timeline: null,
          switch_lsn: null,
          reason: "created",
          lost: null,
          at_ms: options.atMs,
        },
        {
          epoch: 2,
          instance_id: "b",
          incarnation: "b-1",
          timeline: 2,
          ...fork,
          reason: "expired",
          lost: "0/10 bytes",
          at_ms: options.atMs,
        },
      ]);
    });

    test("what did not survive an epoch is added to its beginning, once", async () => {
      const first = await make();
      const taken = acquired(first, writer("b"), standby);
      await store.write(taken, options);
      // The same primary goes on with its timeline in the next epoch.
      const { timeline } = taken.row;
      const again = acquired(taken.row, writer("b"), { ...standby, timeline, resumes: true });
      await store.write(again, options);
      const lost = async () => (await store.loadEpochs(once)).map((epoch) => epoch.lost);
      for (const text of ["a: 8 bytes", "c: 9 bytes", "a: 8 bytes"]) {
        await store.noteLoss(timeline, text, once);
      }
      await store.noteLoss(77, "nobody's", once);
      expect(await lost()).toEqual([null, "a: 8 bytes; c: 9 bytes", null]);
    });

    test("members' rows are replaced; one of an instance that is gone does not come back", async () => {
      await rqlite.request([
        {
          sql: `INSERT INTO instances (id, database_id, node_name, host_id, state, generation, created_at_ms, updated_at_ms)
                VALUES ('a', 'shop', 'n1', 'h', 'available', 1, 0, 0)`,
          params: [],
        },
      ]);
      const status: MemberStatus = {
        instance_id: "a",
        incarnation: "a-1",
        beat: 1,
        state: "standby",
        role: "standby",
        system_identifier: null,
        timeline: 1,
        receive_lsn: "0/10",
        replay_lsn: "0/10",
        streaming: true,
        upstream: "b",
        seen: { epoch: 1, seq: 2 },
        vote: null,
        unfit: null,
        leaving: false,
      };
      await store.saveMember(status, false, 1, once);
      await store.saveMember({ ...status, beat: 2 }, true, 2, once);
      await store.saveMember({ ...status, instance_id: "gone" }, true, 2, once);
      const { members } = await store.load(once);
      expect(members).toEqual([{ ...status, beat: 2 }]);
    });

    test("one change of the primary is open at a time; the same intent twice is one", async () => {
      const switchover = (id: string) => ({
        id,
        payload: { kind: "switchover", from: "a", to: null } as const,
        not_before_ms: 70,
        expires_at_ms: null,
        created_at_ms: 60,
      });
      expect(await store.openIntent(switchover("s1"), once)).toBe(true);
      expect(await store.openIntent(switchover("s1"), once)).toBe(true);
      expect(await store.openIntent(switchover("s2"), once)).toBe(false);
      const { created_at_ms: _, ...first } = switchover("s1");
      expect((await store.load(once)).intents).toEqual([{ ...first, state: "pending" }]);
      expect(await store.loadIntent("s1", once)).toEqual({ state: "pending", answer: null });
      await store.settleIntent("s1", { state: "done", answer: "b leads" }, 80, once);
      expect(await store.loadIntent("s1", once)).toEqual({ state: "done", answer: "b leads" });
      expect(await store.openIntent(switchover("s2"), once)).toBe(true);
      expect(await store.loadIntent("s9", once)).toBeUndefined();
    });

    test("open intents are read oldest first, and settle once", async () => {
      const insert = (id: string, kind: string, atMs: number) => ({
        sql: `INSERT INTO ha_intents (id, database_id, node_name, kind, payload, state, created_at_ms)
              VALUES (?, 'shop', 'n1', ?, '{"from":null,"to":"b"}', 'pending', ?)`,
        params: [id, kind, atMs],
      });
      await rqlite.request([insert("2", "switchover", 20), insert("1", "pause", 10)]);
      const { intents } = await store.load(once);
      expect(intents.map(({ id }) => id)).toEqual(["1", "2"]);
      expect(intents[1]).toEqual({
        id: "2",
        payload: { kind: "switchover", from: null, to: "b" },
        state: "pending",
        not_before_ms: null,
        expires_at_ms: null,
      });
      await store.settleIntent("2", { state: "running", answer: null }, 30, once);
      expect((await store.load(once)).intents[1]?.state).toBe("running");
      await store.settleIntent("2", { state: "done", answer: "b" }, 40, once);
      await store.settleIntent("2", { state: "failed", answer: "late" }, 50, once);
      expect((await store.load(once)).intents).toHaveLength(1);
      const query = { sql: "SELECT state, answer FROM ha_intents WHERE id = '2'", params: [] };
      expect((await rqlite.request([query]))[0]?.rows).toEqual([["done", "b"]]);
    });
  });
}

async function meet(
  fate: Fate,
  send: () => ReturnType<Rqlite["request"]>,
  underWay: (() => Promise<unknown>)[],
): ReturnType<Rqlite["request"]> {
  switch (fate) {
    case "arrives":
      return send();
    case "answer lost":
      await send();
      throw new StoreError("unknown", "the connection broke");
    case "lost":
      throw new StoreError("unknown", "the connection broke");
    case "doubled":
      await send();
      return send();
    case "late":
      underWay.push(send);
      throw new StoreError("unknown", "the connection broke");
  }
}
