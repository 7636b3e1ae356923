import { expect, test } from "bun:test";
import { array, assert as check, property, string } from "fast-check";
import { quote, renderCommand } from "./quote.ts";

test("plain words stay readable", () => {
  expect(renderCommand(["/usr/bin/psql", "-p", "5432", "a b", "it's", ""])).toBe(
    "/usr/bin/psql -p 5432 'a b' 'it'\\''s' ''",
  );
  expect(renderCommand(["A=b", "A=b"])).toBe("'A=b' A=b");
});

test("a zero byte is refused", () => {
  expect(() => quote("a\0b")).toThrow("zero byte");
});

test("a shell reads back what was quoted", () => {
  const word = string({ unit: "binary", maxLength: 20 }).filter((text) => !text.includes("\0"));
  check(
    property(array(word, { minLength: 1, maxLength: 3 }), (words) => {
      const script = `printf '%s\\0' ${words.map(quote).join(" ")}`;
      const shell = Bun.spawnSync(["/bin/sh", "-c", script]);
      const wanted = words.map((text) => Buffer.from(text).toString());
      expect(shell.stdout.toString().split("\0").slice(0, -1)).toEqual(wanted);
    }),
    { numRuns: 60, seed: 7 },
  );
});
