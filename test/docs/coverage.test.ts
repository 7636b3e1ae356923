// The documents name everything that there is, and nothing that there is not: keys, routes, commands, exit statuses,
// fields, error names, limits, and the places that links lead to.
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import type { Command } from "commander";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { exitCodes } from "../../src/cli/exit-codes.ts";
import { buildProgram } from "../../src/cli/main.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { KEYS } from "../../src/config/keys.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { allEndpoints } from "../../src/http/app.ts";
import { statusOf } from "../../src/http/errors.ts";
import { DatabaseNodeSpec, DatabaseSpec, DatabaseUserSpec } from "../../src/spec/database-spec.ts";
import { documents, read, root } from "./blocks.ts";

/** What stands in backquotes in the first column of the tables. */
function firstColumn(document: string): readonly string[] {
  const rows = read(document)
    .split("\n")
    .filter((line) => line.startsWith("| "));
  return rows.flatMap((row) =>
    [...(row.split(" | ")[0] ?? "").matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text),
  );
}

describe("docs/configuration.md", () => {
  const document = "docs/configuration.md";

  test("has every key and no other", () => {
    const documented = firstColumn(document);
    expect([...documented].sort()).toEqual(KEYS.map(({ name }) => name).sort());
  });

  test("has the real defaults", () => {
    const data = { name: "data_dir", value: "/var/lib/pgherd", origin: "test" };
    const machine = { hostname: "db1.example.com", uid: 0, addresses: [] };
    const parsed = parseConfig([{ settings: [data], problems: [] }], machine);
    const settings = parsed.ok ? parsed.value.settings : [];
    for (const line of read(document).split("\n")) {
      const [, name = "", shown = ""] = /^\| `([^`]+)` \| `([^`]+)`/.exec(line) ?? [];
      const setting = settings.find((each) => each.name === name);
      if (!setting || !line.startsWith("| `")) continue;
      const value = String(setting.value).replace("/var/lib/pgherd", "<data_dir>");
      expect(`${name} ${value}`).toBe(`${name} ${shown}`);
    }
  });
});

describe("docs/api.md", () => {
  const document = "docs/api.md";
  const clock = new FakeClock();
  const version = { version: "", revision: "", revision_time: "", arch: "" };
  const stopping = new AbortController().signal;
  const endpoints = allEndpoints({ clock, version, stopping });

  test("has every route and no other", () => {
    const rows = read(document)
      .split("\n")
      .filter((line) => /^\| `(GET|POST|PUT|PATCH|DELETE)/.test(line));
    const documented = rows.flatMap((row) => {
      const [first = ""] = row.slice(2).split(" | ");
      const path = /(\/\S*)`$/.exec(first)?.[1] ?? "";
      return [...first.matchAll(/GET|POST|PUT|PATCH|DELETE/g)].map(
        ([method]) => `${method} ${path}`,
      );
    });
    const real = endpoints
      .filter(({ path }) => !path.startsWith("/v1/internal/"))
      .map(({ method, path }) => `${method} ${path}`);
    expect([...documented].sort()).toEqual([...real, "GET /docs", "GET /v1/openapi.json"].sort());
  });

  test("has every error with its status", () => {
    const text = read(document);
    for (const [name, status] of Object.entries(statusOf)) {
      expect(text).toContain(`| \`${name}\` | ${status} |`);
    }
  });
});

describe("docs/cli.md", () => {
  const document = "docs/cli.md";

  test("has every command and no other", () => {
    const documented = firstColumn(document)
      .map((text) => text.replaceAll(/ (-f|<|\[).*$/g, ""))
      .filter((text) => !text.startsWith("-") && !/^\d/.test(text));
    expect([...documented].sort()).toEqual(commands(buildProgram(terminal), "").sort());
  });

  test("has every exit status and no other", () => {
    const documented = [...read(document).matchAll(/^\| (\d+) \|/gm)].map(([, code]) =>
      Number(code),
    );
    expect(documented).toEqual(Object.values(exitCodes));
  });

  test("has every option of every command", () => {
    const text = read(document);
    const missing = options(buildProgram(terminal)).filter((option) => !text.includes(option));
    expect([...new Set(missing)]).toEqual([]);
  });
});

describe("docs/spec.md", () => {
  const document = "docs/spec.md";
  const kinds: Readonly<Record<string, TSchema>> = {
    DatabaseSpec,
    DatabaseNodeSpec,
    DatabaseUserSpec,
  };

  for (const [name, schema] of Object.entries(kinds)) {
    test(`has every field of ${name}`, () => {
      const text = read(document);
      const missing = Object.keys(schema.properties).filter(
        (field) => !text.includes(`\`${field}\``),
      );
      expect(missing).toEqual([]);
    });
  }
});

describe("links", () => {
  for (const document of documents()) {
    test(`of ${document} lead somewhere`, () => {
      const text = read(document).replaceAll(/^```[\s\S]*?^```/gm, "");
      const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target = ""]) => target)
        .filter((target) => !/^https?:/.test(target) && !leadsSomewhere(document, target));
      expect(broken).toEqual([]);
    });
  }
});

function leadsSomewhere(document: string, target: string): boolean {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? document : join(dirname(document), path);
  if (!existsSync(join(root, file))) return false;
  return anchor === undefined || headings(file).includes(anchor);
}

/** Anchors as Git hosts make them of headings. */
function headings(document: string): readonly string[] {
  return [...read(document).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** Full names of the commands that do something. */
function commands(command: Command, prefix: string): string[] {
  return command.commands
    .filter((child) => !child.name().startsWith("__") && child.name() !== "help")
    .flatMap((child) => {
      const name = `${prefix}${child.name()}`;
      return child.commands.length > 0 ? commands(child, `${name} `) : [name];
    });
}

function options(command: Command): string[] {
  const own = command.options.flatMap(({ long }) => (long ? [long] : []));
  return [...own, ...command.commands.flatMap(options)];
}

/** The command tree is only looked at: nothing of this is called. */
const terminal: Terminal = {
  out: () => undefined,
  err: () => undefined,
  outIsTty: false,
  errIsTty: false,
  inIsTty: false,
  env: {},
  clock: new FakeClock(),
  signal: new AbortController().signal,
  readText: async () => "",
  writeText: async () => undefined,
  readBytes: async () => new Uint8Array(),
  writeBytes: async () => undefined,
  fileExists: async () => false,
  prompt: async () => "",
  exec: async () => 0,
};
