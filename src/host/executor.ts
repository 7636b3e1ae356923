// How a command or a file reaches a host. Local, peer and SSH look alike from here.
import type { Command, CommandResult } from "./command.ts";

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Receives output line by line while the command runs. */
  readonly onLine?: (stream: "stdout" | "stderr", line: string) => void;
}

export interface FileOptions {
  /** Permission bits, e.g. 0o600. */
  readonly mode: number;
  /** Owner as a user name; the executor's own user when absent. */
  readonly owner?: string;
  readonly signal?: AbortSignal;
}

export interface FileStat {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly mode: number;
  readonly owner: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** The plan on whose behalf a host is asked; hosts refuse older ones than the newest that they saw. */
export interface PlanMark {
  readonly databaseId: string;
  readonly generation: number;
  /** Of the worker that runs it; grows with every change of worker. */
  readonly epoch: number;
  /** When the database was created: another one under the same id begins its generations anew. */
  readonly createdAtMs: number;
}

/** A directory or a file of exactly these properties. */
export interface Executor {
  readonly hostId: string;
  /** Runs a command to its end. A command that fails is a result, not an exception; throws only when it could not be tried. */
  run(command: Command, options?: RunOptions): Promise<CommandResult>;
  /** Replaces a file atomically (temporary file, fsync, rename) with the given mode and owner. */
  put(path: string, content: string | Uint8Array, options: FileOptions): Promise<void>;
  /** The file's content, or undefined when there is none. At most `bytesMax` (1 MiB when absent), else an error. */
  get(
    path: string,
    options?: { bytesMax?: number; signal?: AbortSignal },
  ): Promise<Uint8Array | undefined>;
  /** What is there, without following a symlink; undefined when nothing is. */
  stat(path: string, signal?: AbortSignal): Promise<FileStat | undefined>;
  /** Makes the directory and missing parents (root-owned 0755), then sets mode and owner of the last one. */
  mkdir(path: string, options: FileOptions): Promise<void>;
  /** Removes a file or a whole tree; nothing there is success. Refuses "/" and paths of fewer than two parts. */
  remove(path: string, signal?: AbortSignal): Promise<void>;
  /** Names in a directory, sorted; empty when there is none. */
  list(path: string, signal?: AbortSignal): Promise<readonly string[]>;
}

/** Finds the way to a host, on behalf of a plan where there is one; undefined = there is none from here. */
export type ExecutorOf = (
  hostId: string,
  plan?: PlanMark,
) => Promise<Executor | undefined> | Executor | undefined;
