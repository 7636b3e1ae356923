// This machine as an executor. Commands: local-run.ts. Files: here, so that a reader never sees half
// of one and no symlink that another user planted is followed by a change.
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, inContext } from "../base/errors.ts";
import { commandKillGraceMs, hostFileBytesMax, removeTreeTimeoutMs } from "../base/limits.ts";
import { accountByName, accountName, isOwnUser, ownUid } from "./account.ts";
import { type Command, type CommandResult, failureText, succeeded } from "./command.ts";
import type { Executor, FileOptions, FileStat, RunOptions } from "./executor.ts";
import { runLocally } from "./local-run.ts";
import { hasCode } from "./process.ts";

const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
/** Of a file that seems to be empty. */
const LEAST_READ_BYTES = 4_096;
const EXISTING_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** The executor of the host this process runs on. */
export class LocalExecutor implements Executor {
  readonly hostId: string;
  readonly #clock: Clock;
  readonly #killGraceMs: number;
  #temporaries = 0;

  constructor(hostId: string, clock: Clock, killGraceMs = commandKillGraceMs) {
    this.hostId = hostId;
    this.#clock = clock;
    this.#killGraceMs = killGraceMs;
  }

  run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    return runLocally(command, { ...options, killGraceMs: this.#killGraceMs }, this.#clock);
  }

  async put(path: string, content: string | Uint8Array, options: FileOptions): Promise<void> {
    options.signal?.throwIfAborted();
    checkPath(path);
    this.#temporaries += 1;
    const temporary = join(
      dirname(path),
      `.${basename(path)}.${process.pid}-${this.#temporaries}.tmp`,
    );
    try {
      await writeNew(temporary, content, options);
      await rename(temporary, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await unlinkIfThere(temporary);
      throw inContext(`put ${path}`, error);
    }
  }

  async get(
    path: string,
    options: { bytesMax?: number; signal?: AbortSignal } = {},
  ): Promise<Uint8Array | undefined> {
    options.signal?.throwIfAborted();
    checkPath(path);
    const bytesMax = options.bytesMax ?? hostFileBytesMax;
    try {
      return await readBounded(path, bytesMax);
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
      throw inContext(`get ${path}`, error);
    }
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat | undefined> {
    signal?.throwIfAborted();
    checkPath(path);
    try {
      const found = await lstat(path);
      const kind = found.isFile()
        ? "file"
        : found.isDirectory()
          ? "directory"
          : found.isSymbolicLink()
            ? "symlink"
            : "other";
      return {
        kind,
        mode: found.mode & 0o7777,
        owner: accountName(found.uid),
        sizeBytes: found.size,
        modifiedMs: found.mtimeMs,
      };
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
      throw inContext(`stat ${path}`, error);
    }
  }

  async mkdir(path: string, options: FileOptions): Promise<void> {
    options.signal?.throwIfAborted();
    checkPath(path);
    try {
      await makeParents(path);
      const handle = await open(path, EXISTING_DIRECTORY);
      try {
        await handle.chmod(options.mode);
        const owner = ownerOf(options);
        if (owner) await handle.chown(owner.uid, owner.gid);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw inContext(`mkdir ${path}`, error);
    }
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    checkPath(path);
    if (path.split("/").filter((part) => part !== "").length < 2) {
      throw new AppError("terminal", `refusing to remove ${path}`);
    }
    // rm(1) walks by directory handles, so nobody can lead it elsewhere with a symlink meanwhile.
    const result = await this.run(
      {
        argv: ["rm", "-rf", "--one-file-system", "--", path],
        timeoutMs: removeTreeTimeoutMs,
      },
      signal ? { signal } : {},
    );
    if (!succeeded(result)) throw new AppError("retryable", failureText(result));
  }

  async list(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    checkPath(path);
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (hasCode(error, "ENOENT")) return [];
      throw inContext(`list ${path}`, error);
    }
  }
}

/** Refuses what does not name one place: relative paths, "..", doubled slashes, zero bytes. */
export function checkPath(path: string): void {
  if (isAbsolute(path) && normalize(path) === path && !path.includes("\0")) return;
  throw new AppError("terminal", `"${path}" is not an absolute, normalised path`);
}

function ownerOf(options: FileOptions): { uid: number; gid: number } | undefined {
  if (options.owner === undefined || isOwnUser(options.owner)) return undefined;
  if (ownUid() !== 0) {
    throw new AppError("terminal", `only root can give a file to user "${options.owner}"`);
  }
  return accountByName(options.owner);
}

/** The modes of new parents do not depend on the umask; existing ones are left alone. */
async function makeParents(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o755 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
}

/** Nobody else can read the content before its final mode and owner are set. */
async function writeNew(
  path: string,
  content: string | Uint8Array,
  options: FileOptions,
): Promise<void> {
  const owner = ownerOf(options);
  await unlinkIfThere(path);
  const handle = await open(path, NEW_FILE, 0o600);
  try {
    await handle.writeFile(content);
    if (owner) await handle.chown(owner.uid, owner.gid);
    await handle.chmod(options.mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  // Not blocking: a named pipe in this place must not hang the reader.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new AppError("terminal", "it is not a file");
    // Files of /proc have no size, and others may grow while they are read.
    let buffer = new Uint8Array(Math.min(Math.max(found.size, LEAST_READ_BYTES), bytesMax) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) return buffer.slice(0, length);
      length += bytesRead;
      if (length > bytesMax) break;
      if (length === buffer.length) buffer = grown(buffer, Math.min(2 * length, bytesMax + 1));
    }
    throw new AppError("terminal", `it is longer than ${bytesMax} bytes`);
  } finally {
    await handle.close();
  }
}

function grown(buffer: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(buffer);
  return larger;
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
  }
}
