// The lease on the real store and on the one of the unit tests.
import { afterAll, beforeAll } from "bun:test";
import { startTestRqlited, type TestRqlited } from "../support/rqlited.ts";
import { createSqlite } from "../support/sqlite-store.ts";
import { leaseContract } from "./lease-store.ts";

let real: TestRqlited;
beforeAll(async () => {
  real = await startTestRqlited();
});
afterAll(() => real.dispose());

leaseContract("sqlite", { empty: async () => createSqlite() });
leaseContract("rqlite", { empty: () => real.empty() });
