// The server's own directory: made when it is not there, and held by one server at a time.
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { openKernel } from "../../agents/fencer/kernel.ts";
import { AppError, inContext } from "../base/errors.ts";

/**
 * Takes the directory for this process; the lock ends with it, however it ends. Throws a terminal
 * AppError when another server has it.
 */
export function holdDataDirectory(path: string): void {
  try {
    if (!existsSync(path)) {
      mkdirSync(path, { recursive: true });
      // PostgreSQL's user must be able to pass through; what is secret in it has modes of its own.
      chmodSync(path, 0o755);
    }
    if (openKernel().lock(join(path, "server.lock"))) return;
  } catch (thrown) {
    throw inContext("data_dir", thrown);
  }
  throw new AppError("terminal", `data_dir: another server uses ${path}`);
}
