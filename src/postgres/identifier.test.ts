import { expect, test } from "bun:test";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";

test("an identifier keeps every character and cannot end its quotes", () => {
  expect(quoteIdentifier("app")).toBe('"app"');
  expect(quoteIdentifier('a"; DROP ROLE x; --')).toBe('"a""; DROP ROLE x; --"');
  expect(quoteIdentifier("schöne Daten")).toBe('"schöne Daten"');
});

test("names that PostgreSQL cannot hold are refused", () => {
  expect(() => quoteIdentifier("")).toThrow("must not be empty");
  expect(() => quoteIdentifier("a\0b")).toThrow("NUL");
  expect(() => quoteIdentifier("ä".repeat(32))).toThrow("longer than 63 bytes");
  expect(quoteIdentifier("ä".repeat(31))).toHaveLength(33);
});

test("a literal is right with standard_conforming_strings on and off", () => {
  expect(quoteLiteral("it's")).toBe("'it''s'");
  expect(quoteLiteral("a\\'b")).toBe("E'a\\\\''b'");
  expect(quoteLiteral("")).toBe("''");
  expect(() => quoteLiteral("a\0")).toThrow("NUL");
});
