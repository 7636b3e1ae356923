// Files of an SSH host over SFTP, as the login user.
import type { FileAttributes, SFTPWrapper, SshFailure } from "ssh2";
import type { Clock } from "../../base/clock.ts";
import { AppError, isAbort } from "../../base/errors.ts";
import { sshFileTimeoutMs } from "../../base/limits.ts";
import { orAborted } from "./connect.ts";
import { kindOf } from "./host-script.ts";
import type { SshConnection } from "./pool.ts";
import { SshError } from "./ssh-error.ts";

/** Status codes of SFTP version 3 (draft-ietf-secsh-filexfer-02 section 7). */
const NO_SUCH_FILE = 2;
/** Bytes in one request, and requests under way at once. */
const CHUNK_BYTES = 32_768;
const CHUNKS_MAX = 32;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What SFTP tells about a path: users only by number. */
export interface SftpStat {
  readonly kind: ReturnType<typeof kindOf>;
  readonly mode: number;
  readonly uid: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Reads and writes files. Throws AppErrors that do not name the path. */
export class SftpFiles {
  readonly #connection: SshConnection;
  readonly #clock: Clock;

  constructor(connection: SshConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Whether the host offers SFTP. Throws when it cannot be reached. */
  async offered(signal?: AbortSignal): Promise<boolean> {
    try {
      (await this.#connection.sftp(signal)).release();
      return true;
    } catch (error) {
      // A refusal of the subsystem comes from ssh2, without a kind; everything else has one.
      if (error instanceof AppError || signal?.aborted) throw error;
      return false;
    }
  }

  /**
   * Replaces a file atomically. Answers false when the server could not be asked to write it to disk,
   * in which case the caller has to.
   */
  async put(
    path: string,
    temporary: string,
    content: Uint8Array,
    options: { mode: number; owner: Owner | undefined; signal: AbortSignal | undefined },
  ): Promise<boolean> {
    return this.#with(options.signal, async (sftp, limit) => {
      const there = await missingAsUndefined(
        ask<FileAttributes>((answer) => sftp.lstat(path, answer)),
      );
      if (there && kindOf(there.mode) === "directory") {
        throw new AppError("terminal", "EISDIR: it is a directory");
      }
      await missingAsUndefined(done((answer) => sftp.unlink(temporary, answer)));
      try {
        const synced = await writeNew(sftp, temporary, content, { ...options, limit });
        limit.throwIfAborted();
        await done((answer) => sftp.ext_openssh_rename(temporary, path, answer));
        return synced;
      } catch (error) {
        await done((answer) => sftp.unlink(temporary, answer)).catch((cause: unknown) => cause);
        throw error;
      }
    });
  }

  /** The file, or undefined when there is none. */
  async get(
    path: string,
    bytesMax: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    return this.#with(signal, async (sftp) => {
      const found = await missingAsUndefined(
        ask<FileAttributes>((answer) => sftp.stat(path, answer)),
      );
      if (!found) return undefined;
      // Opening a named pipe would block the server.
      if (kindOf(found.mode) !== "file") throw new AppError("terminal", "it is not a file");
      const handle = await missingAsUndefined<Buffer>(
        ask((answer) => sftp.open(path, "r", 0, answer)),
      );
      if (!handle) return undefined;
      try {
        return await readAll(sftp, handle, bytesMax);
      } finally {
        await done((answer) => sftp.close(handle, answer));
      }
    });
  }

  /** What is there, without following a symlink. */
  async stat(path: string, signal: AbortSignal | undefined): Promise<SftpStat | undefined> {
    return this.#with(signal, async (sftp) => {
      const found = await missingAsUndefined(
        ask<FileAttributes>((answer) => sftp.lstat(path, answer)),
      );
      if (!found) return undefined;
      const { mode, uid, size, mtime } = found;
      const kind = kindOf(mode);
      return { kind, mode: mode & 0o7777, uid, sizeBytes: size, modifiedMs: mtime * 1_000 };
    });
  }

  /** Names in a directory; empty when there is none. */
  async list(path: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    return this.#with(signal, async (sftp) => {
      const entries = await missingAsUndefined(
        ask<readonly { readonly filename: string }[]>((answer) => sftp.readdir(path, answer)),
      );
      if (entries) return entries.map(({ filename }) => filename).sort();
      // "Not a directory" has the same code as "not there".
      const found = await missingAsUndefined(
        ask<FileAttributes>((answer) => sftp.stat(path, answer)),
      );
      if (found) throw new AppError("terminal", "it is not a directory");
      return [];
    });
  }

  async #with<T>(
    signal: AbortSignal | undefined,
    use: (sftp: SFTPWrapper, limit: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const held = await this.#connection.sftp(signal).catch((error: unknown) => {
      throw this.#classify(error, signal);
    });
    const limit = AbortSignal.any([held.gone, this.#clock.deadline(sshFileTimeoutMs, signal)]);
    try {
      return await orAborted(use(held.value, limit), limit);
    } catch (error) {
      throw this.#classify(error, signal);
    } finally {
      held.release();
    }
  }

  /** What the server answers has a status code; without one it did not answer. */
  #classify(error: unknown, signal: AbortSignal | undefined): unknown {
    const answered = error instanceof Error && "code" in error && typeof error.code === "number";
    if (error instanceof AppError || signal?.aborted || (answered && !isAbort(error))) return error;
    const why = isAbort(error) ? "no answer in time" : error;
    return new SshError("retryable", this.#connection.target.hostId, "channel", why);
  }
}

type Answer<T> = (error: SshFailure | undefined | null, value: T) => void;

function ask<T>(request: (answer: Answer<T>) => void): Promise<T> {
  return new Promise((accept, reject) => {
    request((error, value) => (error ? reject(error) : accept(value)));
  });
}

function done(request: (answer: (error?: SshFailure | null) => void) => void): Promise<void> {
  return new Promise((accept, reject) => {
    request((error) => (error ? reject(error) : accept()));
  });
}

async function missingAsUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === NO_SUCH_FILE) return undefined;
    throw error;
  }
}

/** Nobody else can read the content before its final mode and owner are set. */
async function writeNew(
  sftp: SFTPWrapper,
  path: string,
  content: Uint8Array,
  options: { mode: number; owner: Owner | undefined; limit: AbortSignal },
): Promise<boolean> {
  const { mode, owner, limit } = options;
  const opened = missingAsUndefined<Buffer>(ask((answer) => sftp.open(path, "wx", 0o600, answer)));
  const handle = await opened;
  if (!handle) throw new AppError("terminal", "ENOENT: no such directory");
  try {
    await writeAll(
      sftp,
      handle,
      Buffer.from(content.buffer, content.byteOffset, content.length),
      limit,
    );
    if (owner) await done((answer) => sftp.fchown(handle, owner.uid, owner.gid, answer));
    await done((answer) => sftp.fchmod(handle, mode, answer));
    return await sync(sftp, handle);
  } finally {
    await done((answer) => sftp.close(handle, answer));
  }
}

/** Ends early when the limit aborts: a cancelled change is not made after all. */
async function writeAll(
  sftp: SFTPWrapper,
  handle: Buffer,
  content: Buffer,
  limit: AbortSignal,
): Promise<void> {
  let next = 0;
  const writer = async () => {
    while (next < content.length) {
      limit.throwIfAborted();
      const from = next;
      const length = Math.min(CHUNK_BYTES, content.length - from);
      next += length;
      await done((answer) => sftp.write(handle, content, from, length, from, answer));
    }
  };
  await Promise.all(Array.from({ length: CHUNKS_MAX }, writer));
}

/** ssh2 throws when the server does not offer fsync@openssh.com. */
async function sync(sftp: SFTPWrapper, handle: Buffer): Promise<boolean> {
  try {
    await done((answer) => sftp.ext_openssh_fsync(handle, answer));
    return true;
  } catch (error) {
    if (error instanceof Error && /does not support/.test(error.message)) return false;
    throw error;
  }
}

async function readAll(sftp: SFTPWrapper, handle: Buffer, bytesMax: number): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  // To the end and not to the size: files of the kernel have none.
  while (length <= bytesMax) {
    const buffer = Buffer.alloc(Math.min(8 * CHUNK_BYTES, bytesMax + 1 - length));
    const read = await readSome(sftp, handle, buffer, length);
    if (read === 0) return new Uint8Array(Buffer.concat(parts));
    parts.push(buffer.subarray(0, read));
    length += read;
  }
  throw new AppError("terminal", `it is longer than ${bytesMax} bytes`);
}

/** ssh2 answers the end of the file as no bytes. */
function readSome(sftp: SFTPWrapper, handle: Buffer, buffer: Buffer, at: number): Promise<number> {
  return ask((answer) => sftp.read(handle, buffer, 0, buffer.length, at, answer));
}
