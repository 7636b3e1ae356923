// The terminal of this process, for the command line.
import { createInterface } from "node:readline/promises";
import { systemClock } from "./base/clock.ts";
import type { Terminal } from "./cli/terminal.ts";
import { processEnvironment } from "./config.ts";

/** Standard streams, files and programs of this process. An interrupt aborts its signal. */
export function processTerminal(): Terminal {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    outIsTty: process.stdout.isTTY === true,
    errIsTty: process.stderr.isTTY === true,
    inIsTty: process.stdin.isTTY === true,
    env: processEnvironment(),
    clock: systemClock,
    signal: interrupted.signal,
    readText: (path) => (path === "-" ? Bun.stdin.text() : Bun.file(path).text()),
    // Contexts may hold tokens.
    writeText: async (path, text) => {
      await Bun.write(path, text, { mode: 0o600, createPath: true });
    },
    readBytes: (path) => (path === "-" ? Bun.stdin.bytes() : Bun.file(path).bytes()),
    writeBytes: async (path, bytes) => {
      await Bun.write(path, bytes, { mode: 0o600 });
    },
    fileExists: (path) => Bun.file(path).exists(),
    prompt: ask,
    exec: run,
  };
}

async function ask(question: string): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await reader.question(question);
  } finally {
    reader.close();
  }
}

async function run(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const child = Bun.spawn([...argv], {
    env: { ...processEnvironment(), ...environment },
    stdio: ["inherit", "inherit", "inherit"],
  });
  // The terminal's interrupt is for the program.
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  const status = await child.exited;
  process.off("SIGINT", ignore);
  return status;
}
