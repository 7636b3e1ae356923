// What PostgreSQL said last before it ended, from the newest file of its log directory.
import { open } from "node:fs/promises";
import { logTailBytesMax } from "../../src/base/limits.ts";
import type { Executor } from "../../src/host/executor.ts";

/** Lines that explain an end, most of them at most. */
const linesMax = 3;

/** Logs in the same directory that are not PostgreSQL's. */
const OTHERS = ["keeper.log", "fencer.log"];

/**
 * The last messages of the newest log files that explain the end, on one line; empty when there are none. Of a
 * server that had accepted connections only PANICs do: its FATALs are those of clients.
 */
export async function readFailureLines(
  executor: Executor,
  directory: string,
  ended: { readonly pid: number; readonly beforeReady: boolean },
): Promise<string> {
  const names = (await executor.list(directory)).filter(
    (name) => name.endsWith(".log") && !OTHERS.includes(name),
  );
  const files = await Promise.all(
    names.map(async (name) => {
      const path = `${directory}/${name}`;
      return { path, modifiedMs: (await executor.stat(path))?.modifiedMs ?? 0 };
    }),
  );
  const newest = files.sort((a, b) => b.modifiedMs - a.modifiedMs).slice(0, 2);
  for (const { path } of newest) {
    const lines = failureLines(await readTail(path), ended);
    if (lines.length > 0) return lines.join("; ");
  }
  return "";
}

/**
 * The messages since the last start that the text tells of. A server that does not come as far as telling of its
 * start is known by its process id, where the prefix of the lines has it.
 */
export function failureLines(
  text: string,
  { pid, beforeReady }: { readonly pid: number; readonly beforeReady: boolean },
): readonly string[] {
  const pattern = beforeReady ? /\b(?:FATAL|PANIC): {2}(.*)$/ : /\bPANIC: {2}(.*)$/;
  const lines = text.split("\n");
  const since = lines.findLastIndex((line) => /LOG: {2}starting PostgreSQL /.test(line));
  const last = lines.slice(since + 1);
  const own = last.filter((line) => line.includes(`[${pid}]`) && pattern.test(line));
  const messages = (own.length > 0 ? own : last)
    .map((line) => pattern.exec(line)?.[1])
    .filter((message) => message !== undefined);
  return [...new Set(messages)].slice(-linesMax);
}

async function readTail(path: string): Promise<string> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, logTailBytesMax);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await handle.close();
  }
}
