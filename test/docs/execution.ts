// Executes the shell blocks of one document, in order, in one directory, against a server of its own.
// Exported variables carry over from block to block, as in a terminal.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, type Sandbox } from "../e2e/harness.ts";
import type { Block } from "./blocks.ts";

const blockTimeoutMs = 120_000;

export class Terminal {
  readonly directory: string;
  readonly #sandbox: Sandbox;

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
    this.directory = mkdtempSync(join(tmpdir(), "pgherd-docs-"));
    mkdirSync(join(this.directory, ".bin"));
    symlinkSync(binary, join(this.directory, ".bin/pgherd"));
    writeFileSync(join(this.directory, ".exported"), "");
  }

  /** Writes the file that a block stands for. */
  write(block: Block): void {
    writeFileSync(join(this.directory, block.info.get("file") ?? ""), block.text);
  }

  /** Runs a block and gives all that it printed, or throws with it. `status` is what it must end with. */
  async run(block: Block): Promise<string> {
    const wanted = Number(block.info.get("status") ?? 0);
    const carryOver = `trap 'export -p >"${this.directory}/.exported"' EXIT`;
    const script = `exec 2>&1; . ./.exported; ${carryOver}; set -euo pipefail\n${block.text}`;
    const file = join(this.directory, ".output");
    writeFileSync(file, "");
    const child = Bun.spawn(["bash", "-c", script], {
      cwd: this.directory,
      env: this.#environment(),
      stdin: "ignore",
      stdout: Bun.file(file),
      stderr: "ignore",
      timeout: blockTimeoutMs,
    });
    const status = await child.exited;
    const output = this.#translated(readFileSync(file, "utf8"));
    if (status !== wanted) throw new Error(`exit status ${status}, not ${wanted}:\n${output}`);
    return output;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #environment(): Record<string, string> {
    return {
      PATH: `${this.directory}/.bin:${process.env.PATH ?? ""}`,
      HOME: this.directory,
      PGHERD_SERVER: `http://127.0.0.1:${this.#sandbox.port}`,
      LANG: "C.UTF-8",
      PSQLRC: "/dev/null",
      PGCONNECT_TIMEOUT: "10",
    };
  }

  /** Places of the sandbox as those that a reader has. */
  #translated(output: string): string {
    const { directory, port } = this.#sandbox;
    return output
      .replaceAll(`${directory}/data`, "/var/lib/pgherd")
      .replaceAll(`${directory}/run`, "/run/pgherd")
      .replaceAll(`${directory}/pg/`, "/var/lib/pgherd/instances/")
      .replaceAll(`127.0.0.1:${port}`, "127.0.0.1:3000")
      .replaceAll(this.directory, "/home/you");
  }
}
