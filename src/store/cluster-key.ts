// The key under which the cluster's secrets are sealed. It lives on the hosts' disks, never in the
// store; its text is what init prints as the recovery key.
import { createHash } from "node:crypto";
import { link, readFile, rm, stat } from "node:fs/promises";
import { AppError } from "../base/errors.ts";
import { fail, ok, type Result } from "../base/result.ts";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import { isMissing, replaceFile } from "./rqlited-binary.ts";

const KEY_BYTES = 32;
const PREFIX = "PGHERD-KEY-";
/** Crockford's base 32: no letters that are read as others (https://www.crockford.com/base32.html). */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const KEY_CHARS = 52;
const CHECK_CHARS = 4;

/** 256 bits that print as `[redacted]`. */
export class ClusterKey {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    if (bytes.length !== KEY_BYTES) throw new AppError("bug", "a cluster key has 32 bytes");
    this.#bytes = bytes;
  }

  /** The key itself, for ciphers. */
  bytes(): Uint8Array {
    return this.#bytes;
  }

  /** `PGHERD-KEY-` and 14 groups of four characters, the last one a check of the others. */
  recoveryText(): Secret {
    const text = encode(this.#bytes);
    const groups = `${text}${check(text)}`.match(/.{4}/g) ?? [];
    return new Secret(PREFIX + groups.join("-"));
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }
}

/** A new key. `rng` must be the operating system's outside tests. */
export function newClusterKey(rng: Rng): ClusterKey {
  return new ClusterKey(rng.bytes(KEY_BYTES));
}

/** Reads a recovery key as a person typed it: case, spaces and O/0, I/L/1 do not matter. */
export function parseRecoveryText(text: string): Result<ClusterKey, string> {
  const typed = text.toUpperCase().replaceAll(/[\s-]/g, "");
  const prefix = PREFIX.replaceAll("-", "");
  if (!typed.startsWith(prefix)) return fail(`a recovery key begins with ${PREFIX}`);
  const body = typed.slice(prefix.length).replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  const expected = KEY_CHARS + CHECK_CHARS;
  if (body.length !== expected) {
    return fail(`a recovery key has ${expected} characters in groups of four, not ${body.length}`);
  }
  const key = body.slice(0, KEY_CHARS);
  const bytes = decode(key);
  if (!bytes || check(key) !== body.slice(KEY_CHARS)) return fail("the recovery key is mistyped");
  return ok(new ClusterKey(bytes));
}

/** The key in this file. Throws a terminal AppError when it is missing, open to others, or damaged. */
export async function loadClusterKey(path: string): Promise<ClusterKey> {
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new AppError("terminal", `${path} can be read by others: chmod 600 it`);
    }
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
    throw new AppError("terminal", `${path} is missing: restore it from the recovery key`);
  }
  const parsed = parseRecoveryText(text);
  if (!parsed.ok) throw new AppError("terminal", `${path}: ${parsed.error}`);
  return parsed.value;
}

/**
 * Writes the key to a file of mode 0600 that survives a crash. Throws a terminal AppError when there
 * is one already: what is sealed under it would be lost.
 */
export async function saveClusterKey(path: string, key: ClusterKey, rng: Rng): Promise<void> {
  const written = `${path}.new`;
  await replaceFile(written, `${key.recoveryText().reveal()}\n`, { mode: 0o600, rng });
  try {
    await link(written, path);
  } catch (thrown) {
    const exists = thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST";
    if (!exists) throw thrown;
    throw new AppError("terminal", `${path} exists already`);
  } finally {
    await rm(written, { force: true });
  }
}

function encode(bytes: Uint8Array): string {
  let bits = BigInt(`0x${Buffer.from(bytes).toString("hex")}`) << 4n;
  let text = "";
  for (let index = 0; index < KEY_CHARS; index++) {
    text = (ALPHABET[Number(bits & 31n)] ?? "") + text;
    bits >>= 5n;
  }
  return text;
}

function decode(text: string): Uint8Array | undefined {
  let bits = 0n;
  for (const char of text) {
    const value = ALPHABET.indexOf(char);
    if (value < 0) return undefined;
    bits = (bits << 5n) | BigInt(value);
  }
  const hex = (bits >> 4n).toString(16).padStart(KEY_BYTES * 2, "0");
  return hex.length > KEY_BYTES * 2 ? undefined : new Uint8Array(Buffer.from(hex, "hex"));
}

/** 20 bits that a mistyped character changes. */
function check(text: string): string {
  const digest = createHash("sha256").update(`pgherd recovery key\0${text}`).digest();
  const value = digest.readUIntBE(0, 3) >> 4;
  return [15, 10, 5, 0].map((shift) => ALPHABET[(value >> shift) & 31] ?? "").join("");
}
