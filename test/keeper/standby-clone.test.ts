// A standby is made from a primary, with every major that is here.
import { expect, test } from "bun:test";
import { completeServers, never, StandbyBench } from "../support/standby-bench.ts";

for (const server of completeServers()) {
  test(`PostgreSQL ${server.major}: a clone streams`, async () => {
    const bench = await StandbyBench.open(server);
    try {
      const primary = await bench.primary();
      await primary.sql("CREATE TABLE t AS SELECT 1 AS n");
      const standby = await bench.standby(primary);
      await primary.sql("INSERT INTO t VALUES (2)");
      await standby.untilCaughtUp(primary);
      expect(await standby.value("SELECT sum(n) FROM t")).toBe("3");
      expect(await standby.mechanics.confirmClone(never)).toEqual([]);
    } finally {
      await bench.close();
    }
  }, 60_000);
}
