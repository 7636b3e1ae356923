import { expect, test } from "bun:test";
import { isSettingName, quoteSetting, renderConf } from "./conf.ts";

test("settings come sorted and quoted, so equal settings give an equal file", () => {
  expect(
    renderConf({ work_mem: "4MB", "spock.x": "on", archive_command: "cp '%p' \\a" }, "h"),
  ).toBe("# h\narchive_command = 'cp ''%p'' \\\\a'\nspock.x = 'on'\nwork_mem = '4MB'\n");
});

test("a name that is not a name cannot smuggle a line in", () => {
  for (const name of [
    "a = 'b'\ninclude",
    "",
    "a b",
    "a-b",
    ".a",
    "a.b.c",
    "a\0",
    "include",
    "Include_Dir",
  ]) {
    expect(isSettingName(name)).toBe(false);
    expect(() => renderConf({ [name]: "x" }, "h")).toThrow("not a name of a setting");
  }
});

test("a value stays one line and one value", () => {
  expect(quoteSetting("a\nb\r'c'")).toBe("'a\\nb\\r''c'''");
  expect(() => quoteSetting("\0")).toThrow("NUL");
});
