// What every implementation of the store must do. Called by store-sqlite.test.ts and store-rqlite.test.ts.
import { beforeEach, describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import type { Clock } from "../../src/base/clock.ts";
import { seededRng } from "../../src/base/rng.ts";
import { migrate } from "../../src/store/migrate.ts";
import { type Migration, migrations } from "../../src/store/migrations.gen.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { hosts } from "../../src/store/schema.ts";
import type { Query } from "../../src/store/statement.ts";
import { type CommitOutcome, createStore, type Store } from "../../src/store/store.ts";
import { StoreError } from "../../src/store/store-error.ts";

export interface StoreUnderTest {
  readonly clock: Clock;
  /** A client of a store without tables. */
  empty(): Promise<Rqlite>;
  /** Another client of the store that `empty` gave last. */
  another(): Rqlite;
}

export function storeContract(name: string, given: StoreUnderTest): void {
  describe(`store contract: ${name}`, () => {
    let rqlite: Rqlite;
    let store: Store;
    beforeEach(async () => {
      rqlite = await given.empty();
      await migrate({ rqlite, clock: given.clock }, migrations);
      store = createStore({ rqlite, clock: given.clock, rng: seededRng(1) });
    });

    describe("reads and writes", () => {
      test("a commit answers how many rows each statement changed", async () => {
        const statements = [
          insertHost("a"),
          insertHost("b"),
          query("UPDATE hosts SET generation = 2"),
          setGeneration("absent", 3),
        ];
        const outcome = await store.commit({ opId: "op-1", guards: [], statements });
        expect(outcome).toEqual({ ok: true, changed: [1, 1, 2, 0], repeated: false });
      });

      test("one statement may answer what it wrote", async () => {
        const [result] = await rqlite.request([returning(insertHost("a"))]);
        expect(result).toEqual({ columns: ["id"], rows: [["a"]], changed: 0 });
        expect(await reasonOf(rqlite.request([returning(insertHost("a"))]))).toBe("constraint");
      });

      test("what rqlite would not undo is refused before it is sent", async () => {
        const mixed = rqlite.request([insertHost("a"), query("SELECT 1")]);
        expect((await errorOf(mixed)).message).toBe("reads and writes cannot be sent together");
        const several = rqlite.request([returning(insertHost("a")), insertHost("b")]);
        expect((await errorOf(several)).message).toContain("RETURNING is not allowed");
        expect(await hostIds(store)).toEqual([]);
      });

      test.each(["SELEC 1", "INSERT INTO absent VALUES (1)", "UPDATE hosts SET absent = 1"])(
        "a statement that cannot be prepared undoes the others: %s",
        async (sql) => {
          const statements = [insertHost("a"), query(sql), insertHost("b")];
          expect(await reasonOf(rqlite.request(statements))).toBe("sql");
          expect(await hostIds(store)).toEqual([]);
          const guards = [{ name: "broken", query: query("SELECT 1 FROM absent") }];
          const broken = store.commit({ opId: "op-1", guards, statements: [insertHost("a")] });
          expect(await reasonOf(broken)).toBe("sql");
          expect(await hostIds(store)).toEqual([]);
        },
      );

      test("typed reads see it at both levels, and a missing row is undefined", async () => {
        await insert(store, "op-1", "a");
        for (const db of [store.db, store.display]) {
          expect(await db.select().from(hosts)).toEqual([
            { id: "a", generation: 1, record: "{}", createdAtMs: 5, updatedAtMs: 5 },
          ]);
          expect(await db.select().from(hosts).where(eq(hosts.id, "b")).get()).toBeUndefined();
          expect(await db.select({ id: hosts.id }).from(hosts).get()).toEqual({ id: "a" });
          const [first, second] = await db.batch([
            db.select({ id: hosts.id }).from(hosts),
            db.select({ record: hosts.record }).from(hosts),
          ]);
          expect([first, second]).toEqual([[{ id: "a" }], [{ record: "{}" }]]);
          expect(await db.query.hosts.findFirst({ columns: { id: true } })).toEqual({ id: "a" });
        }
      });

      test.each(["none", "weak", "linearizable", "strong"] as const)(
        "level %s answers what is there",
        async (level) => {
          await insert(store, "op-1", "a");
          const [result] = await rqlite.request([query("SELECT id, generation FROM hosts")], {
            level,
          });
          expect(result).toEqual({ columns: ["id", "generation"], rows: [["a", 1]], changed: 0 });
        },
      );

      test("texts, nulls, integers and fractions come back as they went", async () => {
        const values = ['it\'s "ü" 🐘\n\0end', null, Number.MAX_SAFE_INTEGER, -0.25, 0];
        const [result] = await rqlite.request([query("SELECT ?, ?, ?, ?, ?", ...values)]);
        expect(result?.rows).toEqual([values]);
      });

      test("an integer that JavaScript cannot hold is an error, in and out", async () => {
        expect(await reasonOf(rqlite.request([query("SELECT ?", 2 ** 53)]))).toBe("sql");
        const stored = rqlite.request([query("SELECT 9007199254740993")]);
        expect(await reasonOf(stored)).toBe("sql");
        const texts = await rqlite.request([query("SELECT '9007199254740993'")]);
        expect(texts[0]?.rows).toEqual([["9007199254740993"]]);
      });

      test("writing through the typed database is refused, its errors hold no parameters", async () => {
        const row = { id: "a", generation: 1, record: "s3cret", createdAtMs: 1, updatedAtMs: 1 };
        const thrown = await errorOf(store.db.insert(hosts).values(row));
        expect(thrown.message).toBe("writes go through commit, not through the database");
        const strange = eq(hosts.id, "s3cret");
        await rqlite.request([query("DROP TABLE hosts")]);
        const missing = await errorOf(store.db.select().from(hosts).where(strange));
        expect(missing).toBeInstanceOf(StoreError);
        expect(missing.message).toBe("no such table: hosts");
        expect(() => Reflect.get(store.db, "transaction")()).toThrow("no interactive transactions");
      });

      test("SQL that cannot be shared or counted is refused before it is sent", async () => {
        const refused = [
          "BEGIN",
          " -- x\n begin immediate",
          "/* x */ COMMIT",
          "rollback",
          "SAVEPOINT a",
          "RELEASE a",
          "END",
          "ATTACH 'x' AS y",
          "DETACH y",
          "VACUUM",
          "PRAGMA foreign_keys = off",
          "SELECT 1; SELECT 2",
          "SELECT 1; BEGIN",
          "",
        ];
        for (const sql of refused) {
          expect([sql, await reasonOf(rqlite.request([query(sql)]))]).toEqual([sql, "sql"]);
        }
        const quoted = await rqlite.request([query("SELECT 'a;b' AS \"begin;\" -- ; COMMIT\n;")]);
        expect(quoted[0]?.rows).toEqual([["a;b"]]);
      });

      test("errors name their reason and their statement", async () => {
        await insert(store, "op-1", "a");
        const doubled = rqlite.request([insertHost("b"), insertHost("a")]);
        const thrown = await errorOf(doubled);
        expect(thrown).toMatchObject({
          reason: "constraint",
          statement: 1,
          message: "UNIQUE constraint failed: hosts.id",
        });
        expect(await hostIds(store)).toEqual(["a"]);
        expect(await reasonOf(rqlite.request([query("SELEC 1")]))).toBe("sql");
        const wrongType = query("INSERT INTO changes (singleton, version) VALUES (1, 'x')");
        expect(await reasonOf(rqlite.request([wrongType]))).toBe("sql");
      });

      test("an aborted signal ends a request with its reason", async () => {
        const reason = new Error("gone");
        const thrown = await errorOf(
          rqlite.request([query("SELECT 1")], { signal: AbortSignal.abort(reason) }),
        );
        expect(thrown).toBe(reason);
      });
    });

    describe("commit", () => {
      test("a guard that holds lets the change through", async () => {
        await insert(store, "op-1", "a");
        const outcome = await store.commit({
          opId: "op-2",
          guards: [{ name: "generation", query: generationIs("a", 1) }],
          statements: [setGeneration("a", 2)],
        });
        expect(outcome).toMatchObject({ ok: true, changed: [1] });
      });

      test.each([
        ["answers 0", query("SELECT 0")],
        ["answers 2", query("SELECT 2")],
        ["answers null", query("SELECT NULL")],
        ["answers '1'", query("SELECT '1'")],
        ["answers no row", query("SELECT 1 FROM hosts WHERE id = ?", "none")],
      ])("a guard that %s undoes everything and is named", async (_what, failing) => {
        const before = await store.changeVersion();
        const outcome = await store.commit({
          opId: "op-1",
          guards: [
            { name: "fine", query: query("SELECT 1") },
            { name: "broken", query: failing },
            { name: "later", query: query("SELECT 0") },
          ],
          statements: [insertHost("a")],
        });
        expect(outcome).toEqual({ ok: false, conflict: "broken" });
        expect(await hostIds(store)).toEqual([]);
        expect(await store.changeVersion()).toBe(before);
        const again = await store.commit({ opId: "op-1", guards: [], statements: [] });
        expect(again).toMatchObject({ ok: true, repeated: false });
      });

      test("a constraint undoes everything and is told", async () => {
        await insert(store, "op-1", "a");
        const statements = [insertHost("b"), insertHost("a")];
        expect(await store.commit({ opId: "op-2", guards: [], statements })).toEqual({
          ok: false,
          conflict: "constraint: UNIQUE constraint failed: hosts.id",
        });
        expect(await hostIds(store)).toEqual(["a"]);
      });

      test("a statement may assert about the one before it", async () => {
        const must = query("INSERT INTO must (ok) SELECT changes() = 1");
        const statements = [setGeneration("absent", 2), must];
        const outcome = await store.commit({ opId: "op-1", guards: [], statements });
        expect(outcome).toEqual({ ok: false, conflict: "must" });
        await insert(store, "op-2", "a");
        const works = [setGeneration("a", 2), must];
        expect(await store.commit({ opId: "op-3", guards: [], statements: works })).toMatchObject({
          ok: true,
        });
      });

      test("the same operation id is applied once, and says so when it is repeated", async () => {
        const change = { opId: "op-1", guards: [], statements: [insertHost("a")] };
        expect(await store.commit(change)).toMatchObject({ ok: true, repeated: false });
        const version = await store.changeVersion();
        expect(await store.commit(change)).toEqual({
          ok: true,
          changed: [],
          repeated: true,
        });
        expect(await store.changeVersion()).toBe(version);
      });

      test("of many who change the same generation exactly one wins", async () => {
        await insert(store, "op-0", "a");
        const outcomes = await Promise.all(
          Array.from({ length: 9 }, (_, index) =>
            createStore({
              rqlite: given.another(),
              clock: given.clock,
              rng: seededRng(index),
            }).commit({
              opId: `race-${index}`,
              guards: [{ name: "generation", query: generationIs("a", 1) }],
              statements: [setGeneration("a", 2)],
            }),
          ),
        );
        expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(1);
        expect(outcomes.filter(isConflict("generation"))).toHaveLength(8);
      });

      test("an answer that was lost is found again by the operation id", async () => {
        const lossy = losing(rqlite, "after", 2);
        const doubting = createStore({ rqlite: lossy, clock: given.clock, rng: seededRng(1) });
        const change = { opId: "op-1", guards: [], statements: [insertHost("a")] };
        expect(await doubting.commit(change)).toMatchObject({ ok: true, repeated: true });
        expect(await hostIds(store)).toEqual(["a"]);
      });

      test("a request that was lost is sent again", async () => {
        const lossy = losing(rqlite, "before", 2);
        const doubting = createStore({ rqlite: lossy, clock: given.clock, rng: seededRng(1) });
        const change = { opId: "op-1", guards: [], statements: [insertHost("a")] };
        expect(await doubting.commit(change)).toMatchObject({ ok: true, repeated: false });
      });

      test("a conflict after a lost request is final: the late request finds its id used up", async () => {
        const lossy = losing(rqlite, "before", 1);
        const doubting = createStore({ rqlite: lossy, clock: given.clock, rng: seededRng(1) });
        const change = {
          opId: "op-1",
          guards: [{ name: "absent", query: query("SELECT count(*) = 1 FROM hosts") }],
          statements: [insertHost("b")],
        };
        expect(await doubting.commit(change)).toEqual({ ok: false, conflict: "absent" });
        await insert(store, "op-2", "a");
        // What a request that arrives late would do: the guard holds now, the id does not.
        expect(await store.commit(change)).toMatchObject({ ok: true, repeated: true });
        expect(await hostIds(store)).toEqual(["a"]);
      });

      test("old operation ids are forgotten", async () => {
        await insert(store, "op-1", "a");
        await store.pruneOperations(given.clock.nowMs() - 60_000);
        expect(await count(rqlite, "operations_log")).toBe(1);
        await store.pruneOperations(given.clock.nowMs() + 60_000);
        expect(await count(rqlite, "operations_log")).toBe(0);
      });
    });

    describe("noticing changes", () => {
      test("the version grows by one with every commit", async () => {
        const before = await store.changeVersion();
        await insert(store, "op-1", "a");
        await insert(store, "op-2", "b");
        expect(await store.changeVersion()).toBe(before + 2);
      });

      test("who waits is woken at once by a commit of this process", async () => {
        const before = await store.changeVersion();
        let heard = 0;
        const stop = store.onCommit(() => {
          heard += 1;
        });
        const waiting = store.waitForChange(before, new AbortController().signal, 3_600_000);
        await insert(store, "op-1", "a");
        expect(await waiting).toBe(before + 1);
        stop();
        await insert(store, "op-2", "b");
        expect(heard).toBe(1);
      });

      test("who waits for an old version is answered at once", async () => {
        await insert(store, "op-1", "a");
        const version = await store.changeVersion();
        const signal = new AbortController().signal;
        expect(await store.waitForChange(version - 1, signal, 3_600_000)).toBe(version);
      });

      test("waiting ends with the signal's reason", async () => {
        const controller = new AbortController();
        const version = await store.changeVersion();
        const waiting = store.waitForChange(version, controller.signal, 3_600_000);
        controller.abort(new Error("enough"));
        expect((await errorOf(waiting)).message).toBe("enough");
      });
    });

    describe("migrations", () => {
      test("nine at once apply each migration once", async () => {
        await given.empty();
        const results = await Promise.all(
          Array.from({ length: 9 }, () =>
            migrate({ rqlite: given.another(), clock: given.clock }, migrations),
          ),
        );
        const applied = results.flatMap((result) => result.applied);
        expect(applied.sort()).toEqual(migrations.map((migration) => migration.index));
      });

      test("a second time nothing is left to do", async () => {
        expect(await migrate({ rqlite, clock: given.clock }, migrations)).toEqual({
          applied: [],
          unknown: [],
        });
      });

      test("one that fails leaves nothing behind", async () => {
        const broken = [...migrations, newer(["CREATE TABLE half (id TEXT) STRICT", "SELEC 1"])];
        expect(await reasonOf(migrate({ rqlite, clock: given.clock }, broken))).toBe("sql");
        expect(await count(rqlite, "sqlite_master WHERE name = 'half'")).toBe(0);
        const repaired = [...migrations, newer(["CREATE TABLE half (id TEXT) STRICT"])];
        const result = await migrate({ rqlite, clock: given.clock }, repaired);
        expect(result.applied).toEqual([migrations.length + 1]);
      });

      test("one that was changed after it was applied is refused", async () => {
        const changed = migrations.map((migration) => ({ ...migration, sha256: "0" }));
        const thrown = await errorOf(migrate({ rqlite, clock: given.clock }, changed));
        expect(thrown.message).toContain("differs from the one that was applied");
      });

      test("an older binary goes on beside a newer migration, unless that is breaking", async () => {
        const additive = newer(["CREATE TABLE more (id TEXT) STRICT"]);
        await migrate({ rqlite, clock: given.clock }, [...migrations, additive]);
        const result = await migrate({ rqlite, clock: given.clock }, migrations);
        expect(result).toEqual({ applied: [], unknown: [additive.index] });
        const breaking = {
          ...newer(["DROP TABLE more"]),
          index: additive.index + 1,
          breaking: true,
        };
        await migrate({ rqlite, clock: given.clock }, [...migrations, additive, breaking]);
        const thrown = await errorOf(migrate({ rqlite, clock: given.clock }, migrations));
        expect(thrown.message).toContain("upgrade this host");
      });
    });
  });
}

/** The client, with the first requests that write failing as unknown: before or after they took effect. */
export function losing(rqlite: Rqlite, when: "before" | "after", times: number): Rqlite {
  let left = times;
  return {
    async request(statements, options) {
      const lose = options?.transaction === true && left-- > 0;
      if (lose && when === "before") throw new StoreError("unknown", "lost on the way");
      const results = await rqlite.request(statements, options).catch((thrown: unknown) => {
        // A repetition that is lost too hides its refusal.
        if (lose) throw new StoreError("unknown", "lost on the way back");
        throw thrown;
      });
      if (lose) throw new StoreError("unknown", "lost on the way back");
      return results;
    },
  };
}

function query(sql: string, ...params: readonly unknown[]): Query {
  return { sql, params };
}

function insertHost(id: string): Query {
  return query(
    "INSERT INTO hosts (id, generation, record, created_at_ms, updated_at_ms) VALUES (?, 1, '{}', 5, 5)",
    id,
  );
}

function returning(statement: Query): Query {
  return { ...statement, sql: `${statement.sql} RETURNING id` };
}

function generationIs(id: string, generation: number): Query {
  return query("SELECT generation = ? FROM hosts WHERE id = ?", generation, id);
}

function setGeneration(id: string, generation: number): Query {
  return query("UPDATE hosts SET generation = ? WHERE id = ?", generation, id);
}

function insert(store: Store, opId: string, id: string): Promise<CommitOutcome> {
  return store.commit({ opId, guards: [], statements: [insertHost(id)] });
}

async function hostIds(store: Store): Promise<string[]> {
  const rows = await store.db.select({ id: hosts.id }).from(hosts).orderBy(hosts.id);
  return rows.map((row) => row.id);
}

async function count(rqlite: Rqlite, from: string): Promise<unknown> {
  const [result] = await rqlite.request([query(`SELECT count(*) FROM ${from}`)]);
  return result?.rows[0]?.[0];
}

function newer(statements: readonly string[]): Migration {
  const index = migrations.length + 1;
  return { index, name: "newer", breaking: false, sha256: statements.join(), statements };
}

function isConflict(name: string): (outcome: CommitOutcome) => boolean {
  return (outcome) => !outcome.ok && outcome.conflict === name;
}

async function errorOf(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof Error) return thrown;
    throw thrown;
  }
  throw new Error("expected an error");
}

async function reasonOf(promise: PromiseLike<unknown>): Promise<string> {
  const thrown = await errorOf(promise);
  return thrown instanceof StoreError ? thrown.reason : thrown.message;
}
