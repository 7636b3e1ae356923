// The real store keeps the contract, also while it is killed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { seededRng } from "../../src/base/rng.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations.gen.ts";
import { createStore } from "../../src/store/store.ts";
import { startTestRqlited, type TestRqlited } from "../support/rqlited.ts";
import { storeContract } from "./store.ts";

let real: TestRqlited;
beforeAll(async () => {
  real = await startTestRqlited();
});
afterAll(() => real.dispose());

const emptyAgain = () => real.empty();

storeContract("rqlite", { clock: systemClock, empty: emptyAgain, another: () => real.client() });

describe("rqlite killed under writes", () => {
  test("no acknowledged write is lost and none is doubled", async () => {
    const rqlite = await emptyAgain();
    await migrate({ rqlite, clock: systemClock }, migrations);
    await rqlite.request([
      { sql: "CREATE TABLE counted (k INTEGER PRIMARY KEY, v INTEGER) STRICT", params: [] },
      { sql: "INSERT INTO counted VALUES (1, 0)", params: [] },
    ]);
    const store = createStore({ rqlite, clock: systemClock, rng: seededRng(1) });
    let killed = 0;
    let acknowledged = 0;
    const writer = async (name: string) => {
      for (let n = 0; killed < 3 || n < 50; n++) {
        const statements = [
          { sql: "UPDATE counted SET v = v + 1 WHERE k = 1", params: [] },
          {
            sql: "INSERT INTO host_statuses (host_id, status, updated_at_ms) VALUES (?, '', 0)",
            params: [`${name}-${n}`],
          },
        ];
        const outcome = await store.commit({ opId: `${name}-${n}`, guards: [], statements });
        expect(outcome.ok).toBe(true);
        acknowledged += 1;
      }
    };
    const killer = async () => {
      while (killed < 3) {
        const goal = acknowledged + 100;
        while (acknowledged < goal) await systemClock.sleep(5);
        const identity = real.rqlited.identity();
        if (!identity) continue;
        process.kill(identity.pid, "SIGKILL");
        killed += 1;
      }
    };
    await Promise.all([killer(), ...["a", "b", "c", "d"].map(writer)]);
    const counts = await rqlite.request([
      { sql: "SELECT (SELECT v FROM counted), (SELECT count(*) FROM host_statuses)", params: [] },
    ]);
    expect(counts[0]?.rows).toEqual([[acknowledged, acknowledged]]);
    expect(await store.changeVersion()).toBe(acknowledged);
  }, 60_000);
});
