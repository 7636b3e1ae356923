// What is quoted of PostgreSQL's log when it ended.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { failureLines, readFailureLines } from "./log-tail.ts";

const line = (pid: number, text: string) => `2026-01-02 03:04:05.678 UTC [${pid}] ${text}`;
const ended = { pid: 12, beforeReady: true };

test("of a server that never told of its start, only its own lines count", () => {
  const log = [
    line(7, "LOG:  starting PostgreSQL 17.5"),
    line(11, "FATAL:  too many server processes configured"),
    line(12, 'FATAL:  could not access file "nothing": No such file or directory'),
  ].join("\n");
  expect(failureLines(log, ended)).toEqual([
    'could not access file "nothing": No such file or directory',
  ]);
});

test("of a server whose lines have no process id, all lines since the last start count, each once", () => {
  const log = ["FATAL:  old", "LOG:  starting PostgreSQL 15.18", "FATAL:  a", "FATAL:  a"];
  expect(failureLines(log.join("\n"), ended)).toEqual(["a"]);
});

test("of a server that had accepted connections only PANICs do: its FATALs are those of clients", () => {
  const log = [line(12, "FATAL:  password"), line(12, "PANIC:  no space")].join("\n");
  expect(failureLines(log, { ...ended, beforeReady: false })).toEqual(["no space"]);
});

test("what keeper and fencer write beside it does not hide PostgreSQL's own log", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pgherd-logs-"));
  try {
    writeFileSync(join(directory, "postgres.log"), `${line(12, "FATAL:  no")}\n`);
    utimesSync(join(directory, "postgres.log"), 1, 1);
    for (const name of ["keeper.log", "fencer.log"]) writeFileSync(join(directory, name), "{}\n");
    const executor = new LocalExecutor("here", systemClock);
    expect(await readFailureLines(executor, directory, ended)).toBe("no");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
