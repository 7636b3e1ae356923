import { expect, test } from "bun:test";
import { parseMigration, renderModule } from "./embed-migrations.ts";

const INIT = `-- breaking: no
-- What the first version needs.
CREATE TABLE a (x TEXT);
--> statement
CREATE INDEX a_x ON a (x) WHERE x <> ';';
`;

test("a migration is split into statements without comments and semicolons", () => {
  const migration = parseMigration("0001_init.sql", INIT);
  expect(migration).toMatchObject({ index: 1, name: "init", breaking: false });
  expect(migration.statements).toEqual([
    "CREATE TABLE a (x TEXT)",
    "CREATE INDEX a_x ON a (x) WHERE x <> ';'",
  ]);
});

test("the checksum covers the whole file, so that an edited migration is noticed", () => {
  const edited = parseMigration("0001_init.sql", `${INIT}\n-- note\n`);
  expect(edited.sha256).not.toBe(parseMigration("0001_init.sql", INIT).sha256);
});

test.each([
  ["init.sql", INIT, "must be named"],
  ["0001_init.sql", "CREATE TABLE a (x TEXT);", "first line"],
  ["0001_init.sql", "-- breaking: no\nCREATE TABLE a (x); CREATE TABLE b (x);", "more than one"],
  ["0001_init.sql", `${INIT}--> statement\n-- nothing\n`, "statement 3 is empty"],
])("%s is refused when malformed (%#)", (name, text, reason) => {
  expect(() => parseMigration(name, text)).toThrow(reason);
});

test("a gap in the numbers is refused", () => {
  const second = { ...parseMigration("0002_more.sql", INIT) };
  expect(() => renderModule([second])).toThrow("migration 1 is missing");
});
