// Every rule must fail on a sample that breaks it, and stay silent on the look-alike that does not.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { measure, renderFigures, renderMatrix } from "./tidy/figures.ts";
import { loadProject, type Project, type Violation } from "./tidy/project.ts";
import { checkProject } from "./tidy.ts";

/** Path, source, and the rule that must complain. Paths are unique: each is a file of the sample project. */
const BAD: readonly (readonly [string, string, string])[] = [
  ["src/base/up.ts", 'import { a } from "../spec/ok.ts";\nexport const b = a;', "layers"],
  ["src/http/down.ts", 'import type { A } from "../store/ok.ts";\nexport type B = A;', "layers"],
  ["src/http/dynamic.ts", 'export const b = import("../store/ok.ts");', "layers"],
  ["src/http/typed.ts", 'export type B = import("../store/ok.ts").A;', "layers"],
  ["src/cli/again.ts", 'export { s } from "../store/ok.ts";\nexport const b = 1;', "layers"],
  ["src/spec/driver.ts", 'import "../orchestrator/x/names.ts";\nexport const b = 1;', "layers"],
  ["src/apply/agent.ts", 'import "../../agents/keeper/main.ts";\nexport const b = 1;', "layers"],
  ["agents/keeper/tasks.ts", 'import "../../src/store/ok.ts";\nexport const b = 1;', "layers"],
  ["src/unheard-of/a.ts", "export const b = 1;", "layers"],
  ["src/base/left.ts", 'import type { R } from "./right.ts";\nexport type L = R;', "cycles"],
  ["src/base/right.ts", 'import type { L } from "./left.ts";\nexport type R = L;', ""],
  ["src/base/bare.ts", 'import { a } from "./ok";\nexport const b = a;', "extensions"],
  ["src/base/wrong-js.ts", 'import { a } from "./ok.js";\nexport const b = a;', "extensions"],
  ["src/base/all.ts", 'export * from "./ok.ts";', "barrel"],
  ["src/base/index.ts", "export const b = 1;", "barrel"],
  ["src/base/Camel.ts", "export const b = 1;", "names"],
  ["src/base/utils.ts", "export const b = 1;", "names"],
  ["src/host/task-manager.ts", "export const b = 1;", "names"],
  ["src/base/plain.ts", "const b = 1;\nexport default b;", "default-export"],
  ["src/base/fn.ts", "export default function b(): void {}", "default-export"],
  ["src/spec/io.ts", 'import { readFileSync } from "node:fs";\nexport { readFileSync };', "purity"],
  ["src/plan/db.ts", 'import { sql } from "drizzle-orm";\nexport const b = sql;', "purity"],
  ["src/plan/net.ts", 'import { connect } from "node:net";\nexport const b = connect;', "purity"],
  ["src/ha/wait.ts", "export async function b(): Promise<void> {}", "purity"],
  ["src/ha/top.ts", "export const b = await Promise.resolve(1);", "purity"],
  ["src/postgres/env.ts", "export const b = process.env.HOME;", "purity"],
  ["src/postgres/run.ts", 'export const b = Bun.spawn(["ls"]);', "purity"],
  ["src/spec/get.ts", 'export const b = () => fetch("http://localhost");', "purity"],
  ["src/host/now.ts", "export const b = Date.now();", "clock"],
  ["src/host/date.ts", "export const b = new Date();", "clock"],
  ["src/host/date-text.ts", "export const b = Date();", "clock"],
  ["src/host/timer.ts", "export const b = (f: () => void) => setTimeout(f, 1);", "clock"],
  ["src/host/global.ts", "export const b = globalThis.setInterval;", "clock"],
  ["src/host/chance.ts", "export const b = Math.random();", "clock"],
  ["src/host/perf.ts", "export const b = performance.now();", "clock"],
  ["src/host/sleep.ts", "export const b = () => Bun.sleep(1);", "clock"],
  ["src/host/id.ts", "export const b = crypto.randomUUID();", "clock"],
  ["src/host/id2.ts", 'import { randomUUID } from "node:crypto";\nexport const b = 1;', "clock"],
  [
    "src/host/timers.ts",
    'import { setTimeout as s } from "node:timers/promises";\nvoid s;',
    "clock",
  ],
  ["agents/keeper/late.ts", "export const b = Date.now();", "clock"],
  ["src/apply/unit.ts", "// Asks systemd.\nexport const b = 1;", "words"],
  ["src/plan/kind.ts", 'export const b = "swarm";', "words"],
  ["src/orchestrator/baremetal/c.ts", "export const dockerSocket = 1;", "words"],
  ["src/store/begin.ts", 'export const b = "BEGIN";', "sql"],
  ["src/store/begin-lower.ts", 'export const b = "begin immediate";', "sql"],
  ["src/store/template.ts", "export const b = `SAVEPOINT a`;", "sql"],
  ["src/store/pragma.ts", 'export const b = "PRAGMA foreign_keys";', "sql"],
  ["src/store/now.ts", "export const b = \"SELECT datetime('now')\";", "sql"],
  ["src/store/stamp.ts", 'export const b = "INSERT INTO t VALUES (CURRENT_TIMESTAMP)";', "sql"],
  ["src/store/dice.ts", 'export const b = "SELECT random()";', "sql"],
  ["src/store/cascade.ts", 'export const b = { onDelete: "cascade" };', "sql"],
  ["src/store/tx.ts", "export const b = (db: { transaction(): void }) => db.transaction();", "sql"],
  ["src/host/swallow.ts", "export function b(): void { try { b(); } catch {} }", "empty-catch"],
  [
    "src/host/swallow-note.ts",
    "export function b(): void { try { b(); } catch (e) { /* gone */ } }",
    "empty-catch",
  ],
  [
    "src/host/swallow-later.ts",
    "export const b = (p: Promise<1>) => p.catch(() => {});",
    "empty-catch",
  ],
  ["src/host/loose.ts", "export const b = (x: unknown) => x as any;", "any"],
];

/** Look-alikes that must pass. */
const GOOD: readonly (readonly [string, string])[] = [
  ["src/base/ok.ts", "export const a = Date.now();\nexport const timer = setTimeout;"],
  ["src/spec/ok.ts", 'import { o } from "../orchestrator/x/options.ts";\nexport const a = o;'],
  ["src/spec/address.ts", 'import { isIP } from "node:net";\nexport const a = isIP("::1");'],
  ["src/spec/parse.ts", 'import { createHash } from "node:crypto";\nexport const a = createHash;'],
  ["src/orchestrator/x/options.ts", "export const o = 1;"],
  ["src/orchestrator/x/names.ts", "export const n = 1;"],
  ["src/orchestrator/x/index.ts", 'export { n } from "./names.ts";'],
  ["src/orchestrator/driver.ts", "export type D = 1;"],
  ["src/observe/ok.ts", 'import type { D } from "../orchestrator/driver.ts";\nexport type E = D;'],
  ["src/orchestrator/baremetal/unit.ts", 'export const a = "systemd";'],
  ["src/store/ok.ts", 'export type A = 1;\nexport const s = { why: "commit", r: "random" };'],
  ["src/store/ha-store.ts", "export const h = 1;"],
  [
    "agents/keeper/main.ts",
    'import { h } from "../../src/store/ha-store.ts";\nexport const k = h;',
  ],
  [
    "src/main.ts",
    'import { k } from "../agents/keeper/main.ts";\nimport { h } from "./store/ha-store.ts";\nvoid [k, h];',
  ],
  [
    "src/host/clocked.ts",
    "type Clock = { setTimeout(f: () => void): void; now: () => Date };\nexport const a = (clock: Clock, at: number) => { clock.setTimeout(() => undefined); return new Date(at); };",
  ],
  ["src/host/clocked.test.ts", "export const a = Date.now();"],
  [
    "src/plan/process.ts",
    "export const a = (x: { process: number; fetch: number }) => x.process + x.fetch;",
  ],
  [
    "src/host/careful.ts",
    "export function a(): void { try { a(); } catch (error) { throw error; } }",
  ],
];

const MIGRATIONS: readonly (readonly [string, string, number])[] = [
  [
    "0001_good.sql",
    "-- breaking: no\nCREATE TABLE a (x TEXT NOT NULL);\n-- BEGIN is only a word here",
    0,
  ],
  ["0002_begin.sql", "-- breaking: no\nBEGIN;\nCREATE TABLE b (x TEXT);\nCOMMIT;", 2],
  ["0003_cascade.sql", "CREATE TABLE c (x TEXT REFERENCES a (x) ON DELETE CASCADE);", 1],
  [
    "0004_time.sql",
    "CREATE TABLE d (x TEXT DEFAULT CURRENT_TIMESTAMP);\nUPDATE d SET x = date('now');",
    2,
  ],
  ["0005_drop.sql", "DROP TABLE a;", 1],
  ["0006_trigger.sql", "CREATE TRIGGER t AFTER UPDATE ON a\nBEGIN\n  DELETE FROM a;\nEND", 0],
];

let root: string;
let project: Project;
let violations: readonly Violation[];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "pgherd-tidy-"));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const compilerOptions = { module: "Preserve", noEmit: true, noLib: true, types: [] };
  write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["src", "agents"] }));
  for (const [path, text] of [...BAD, ...GOOD]) write(path, text);
  for (const [name, text] of MIGRATIONS) write(`migrations/${name}`, text);
  project = await loadProject(root);
  violations = checkProject(project);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const rulesAt = (path: string) => violations.filter((v) => v.path === path).map(({ rule }) => rule);

const breaking = BAD.filter(([, , rule]) => rule !== "").map(([path, , rule]) => [path, rule]);
test.each(breaking)("%s breaks %s", (path, rule) => {
  expect(rulesAt(path ?? "")).toContain(rule ?? "");
});

test.each(GOOD.map(([path]) => path))("%s passes", (path) => {
  expect(violations.filter((violation) => violation.path === path)).toEqual([]);
});

test.each(MIGRATIONS)("%s", (name, _text, count) => {
  expect(rulesAt(`migrations/${name}`)).toEqual(Array<string>(count).fill("sql"));
});

test("violations name the line", () => {
  expect(violations.find(({ path }) => path === "src/apply/unit.ts")?.line).toBe(1);
});

test("figures count product code only, and functions by their block", () => {
  const figures = measure(project);
  const product = [...BAD, ...GOOD].filter(([path]) => !path.endsWith(".test.ts")).length;
  expect(figures.files).toBe(product);
  expect(figures.functionLines.max).toBe(1);
  expect(renderFigures(figures)).toContain(`| ${product} `);
});

test("the matrix counts imports from row to column", () => {
  const row = renderMatrix(project)
    .split("\n")
    .find((line) => line.startsWith("| observe"));
  const columns = row?.split("|").map((cell) => cell.trim()) ?? [];
  expect(columns.filter((cell) => cell === "1")).toHaveLength(1);
});
