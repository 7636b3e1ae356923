// schema.ts and migrations/*.sql describe the same tables.
import { expect, test } from "bun:test";
import { is } from "drizzle-orm";
import { getTableConfig, SQLiteTable } from "drizzle-orm/sqlite-core";
import { createSqlite } from "../../test/support/sqlite-store.ts";
import { systemClock } from "../base/clock.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations.gen.ts";
import type { Rqlite } from "./rqlite.ts";
import * as schema from "./schema.ts";

const declared = Object.values(schema)
  .filter((value) => is(value, SQLiteTable))
  .map((table) => getTableConfig(table));

async function migrated(): Promise<Rqlite> {
  const rqlite = createSqlite();
  await migrate({ rqlite, clock: systemClock }, migrations);
  return rqlite;
}

async function rows(rqlite: Rqlite, sql: string, ...params: string[]) {
  return (await rqlite.request([{ sql, params }]))[0]?.rows ?? [];
}

test("the same tables exist, and all of them are strict", async () => {
  const present = await rows(
    await migrated(),
    "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  );
  const expected = [...declared.map((table) => table.name), "migrations"].sort();
  expect(present.map(([name]) => name).sort()).toEqual(expected);
  expect(present.filter(([, strict]) => strict !== 1)).toEqual([]);
});

test.each(declared.map((table) => [table.name, table] as const))(
  "%s has the same columns and primary key",
  async (name, table) => {
    const present = await rows(
      await migrated(),
      'SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY name',
      name,
    );
    const composite = table.primaryKeys[0]?.columns.map((column) => column.name) ?? [];
    const expected = table.columns
      .map((column) => [
        column.name,
        column.getSQLType().toUpperCase(),
        column.notNull ? 1 : 0,
        column.primary ? 1 : composite.indexOf(column.name) + 1,
      ])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
    expect(present).toEqual(expected);
  },
);

test.each(declared.map((table) => [table.name, table] as const))(
  "%s has the same indexes",
  async (name, table) => {
    const present = await rows(
      await migrated(),
      "SELECT i.name, group_concat(c.name ORDER BY c.seqno) FROM pragma_index_list(?) i, pragma_index_info(i.name) c WHERE i.origin = 'c' GROUP BY i.name ORDER BY i.name",
      name,
    );
    const expected = table.indexes
      .map(({ config }) => [
        config.name,
        config.columns.map((column) => ("name" in column ? column.name : "expression")).join(),
      ])
      .sort();
    expect(present).toEqual(expected);
  },
);

test("no migration uses what replicas or rolling upgrades cannot bear", () => {
  const banned =
    /on\s+(delete|update)\s+cascade|\bcurrent_(time|date|timestamp)\b|\b(random|randomblob|datetime|date|time|strftime|unixepoch|julianday)\s*\(|\bpragma\b/i;
  for (const migration of migrations) {
    for (const statement of migration.statements) {
      expect([statement, banned.exec(statement)?.[0]]).toEqual([statement, undefined]);
    }
  }
});

test("the rows that are always there are there", async () => {
  const rqlite = await migrated();
  expect(await rows(rqlite, "SELECT * FROM changes")).toEqual([[1, 0]]);
  expect(await rows(rqlite, "SELECT * FROM worker_lease")).toEqual([[1, 0, 0, "", "", 0]]);
});
