// Three instances of one node: who begins it, how the others join, and who takes over when.
import { afterEach, expect, test } from "bun:test";
import { KeptGroup } from "../support/kept-group.ts";

let group: KeptGroup;
afterEach(() => group.close(), 30_000);

test("the initial primary makes the data and holds the lease; the others copy it and stream", async () => {
  group = await KeptGroup.prepare();
  group.start();
  const primary = await group.primary();
  expect(primary.id).toBe(group.at(0).id);
  await group.standbys(primary);
  await primary.query("CREATE TABLE kept AS SELECT 7 AS n");
  await group.everywhere("SELECT n FROM kept", "7");
}, 240_000);
