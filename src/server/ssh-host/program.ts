// Puts this program on another host: once per version, whole or not at all, and proven to run there.
import { AppError } from "../../base/errors.ts";
import { hostUploadTimeoutMs } from "../../base/limits.ts";
import { failureText, succeeded } from "../../host/command.ts";
import type { Executor } from "../../host/executor.ts";
import { launcher } from "../launcher.ts";

type Log = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** Where something is done on another host, until when, and who is told. */
export interface Site {
  readonly executor: Executor;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** The program of this server as a file that can be sent. */
export class OwnProgram {
  #digest: { readonly mtimeMs: number; readonly sha256: string } | undefined;

  /** Throws a terminal AppError where the server runs from sources. */
  path(): string {
    const argv = launcher();
    if (argv.length === 1) return argv[0];
    throw new AppError(
      "terminal",
      "this server runs from sources: only the compiled program can be sent",
    );
  }

  /** Lower-case hexadecimal. */
  async sha256(): Promise<string> {
    const file = Bun.file(this.path());
    const mtimeMs = file.lastModified;
    if (this.#digest?.mtimeMs === mtimeMs) return this.#digest.sha256;
    const hasher = new Bun.CryptoHasher("sha256");
    for await (const chunk of file.stream()) hasher.update(chunk);
    const sha256 = hasher.digest("hex");
    this.#digest = { mtimeMs, sha256 };
    return sha256;
  }

  content(): Promise<Uint8Array> {
    return Bun.file(this.path()).bytes();
  }
}

/**
 * Has `<directory>/pgherd` lead to this program; true when that changed. Processes that run another version
 * are not disturbed.
 */
export async function ensureProgram(
  program: OwnProgram,
  directory: string,
  site: Site,
): Promise<boolean> {
  const { executor, signal, log } = site;
  const sha256 = await program.sha256();
  const name = `pgherd-${sha256.slice(0, 16)}`;
  const target = `${directory}/${name}`;
  await executor.mkdir(directory, { mode: 0o755, signal });
  const present = (await digestOf(target, site)) === sha256;
  if (present) log("the program is there already", { path: target });
  else await upload(program, target, sha256, site);
  const link = `${directory}/pgherd`;
  const before = await call(site, ["readlink", "--", link]).catch(() => "");
  if (before.trim() === name) return !present;
  await call(site, ["ln", "-sfn", "--", name, `${link}.new`]);
  await call(site, ["mv", "-fT", "--", `${link}.new`, link]);
  const version = await call(site, [link, "version"]);
  log("the program runs there", { path: link, version: version.trim().split("\n")[0] });
  for (const other of await executor.list(directory, signal)) {
    if (/^\.?pgherd-/.test(other) && other !== name) {
      await executor.remove(`${directory}/${other}`, signal);
    }
  }
  return true;
}

/** Has the file be this program. */
export async function ensureProgramFile(
  program: OwnProgram,
  target: string,
  site: Site,
): Promise<void> {
  const sha256 = await program.sha256();
  if ((await digestOf(target, site)) === sha256) {
    site.log("the program is there already", { path: target });
    return;
  }
  await upload(program, target, sha256, site);
  const version = await call(site, [target, "version"]);
  site.log("the program runs there", { path: target, version: version.trim().split("\n")[0] });
}

async function upload(
  program: OwnProgram,
  target: string,
  sha256: string,
  site: Site,
): Promise<void> {
  const { executor, signal, log } = site;
  const content = await program.content();
  log("uploading the program", { path: target, bytes: content.length });
  await executor.put(target, content, { mode: 0o755, signal });
  if ((await digestOf(target, site)) === sha256) return;
  throw new AppError("retryable", `${target} is not what was sent`);
}

async function digestOf(path: string, site: Site): Promise<string | undefined> {
  if (!(await site.executor.stat(path, site.signal))) return undefined;
  return (await call(site, ["sha256sum", "--", path])).split(/\s/)[0];
}

/** What a program there prints; throws an AppError when it fails. */
export async function call(
  { executor, signal }: Pick<Site, "executor" | "signal">,
  argv: readonly [string, ...string[]],
): Promise<string> {
  const result = await executor.run({ argv, timeoutMs: hostUploadTimeoutMs }, { signal });
  signal.throwIfAborted();
  if (succeeded(result)) return result.stdout;
  throw new AppError("retryable", failureText(result));
}
