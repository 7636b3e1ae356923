// The in-memory store of the unit tests keeps the contract of the real one.
import { systemClock } from "../../src/base/clock.ts";
import type { Rqlite } from "../../src/store/rqlite.ts";
import { createSqlite } from "../support/sqlite-store.ts";
import { storeContract } from "./store.ts";

let current: Rqlite = createSqlite();
storeContract("sqlite", {
  clock: systemClock,
  async empty() {
    current = createSqlite();
    return current;
  },
  another: () => current,
});
