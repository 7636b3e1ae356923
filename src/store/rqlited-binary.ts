// Puts the embedded rqlited on disk, once per version, where it can be executed.
import { constants } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";

/** The rqlited that this build carries; see rqlited-asset.ts. */
export interface EmbeddedBinary {
  /** Readable, not executable in place. */
  readonly path: string;
  readonly version: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

const PREFIX = "rqlited-";

/**
 * The path of an executable copy in `directory` whose checksum was just verified. A copy that is
 * missing or differs is replaced in one step; the directory must not be mounted noexec.
 */
export async function ensureBinary(
  asset: EmbeddedBinary,
  directory: string,
  rng: Rng,
): Promise<string> {
  const target = join(directory, `${PREFIX}${asset.version}-${asset.sha256.slice(0, 8)}`);
  if ((await executable(target)) && (await sha256Of(target)) === asset.sha256) return target;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const content = await Bun.file(asset.path).bytes();
  if (new Bun.CryptoHasher("sha256").update(content).digest("hex") !== asset.sha256) {
    throw new AppError("terminal", "the embedded rqlited does not have the expected checksum");
  }
  await replaceFile(target, content, { mode: 0o755, rng });
  return target;
}

/** Removes the copies of other versions. Processes that still run one are not disturbed. */
export async function removeOtherBinaries(current: string): Promise<void> {
  const directory = dirname(current);
  for (const name of await readdir(directory)) {
    if (name.startsWith(PREFIX) && name !== basename(current)) await rm(join(directory, name));
  }
}

/** Writes a file so that after a crash either the old content or the whole new one is there. */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  options: { readonly mode: number; readonly rng: Rng },
): Promise<void> {
  const suffix = Buffer.from(options.rng.bytes(6)).toString("hex");
  const temporary = `${path}.${suffix}.part`;
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  try {
    const file = await open(temporary, O_CREAT | O_EXCL | O_WRONLY, options.mode);
    try {
      await file.chmod(options.mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  const directory = await open(dirname(path), constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function executable(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isFile() && (found.mode & 0o777) === 0o755;
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
}

async function sha256Of(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}

/** Whether a file system call failed because there is nothing of that name. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
}
