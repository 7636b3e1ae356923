import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { seededRng, systemRng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import { loadClusterKey, newClusterKey, parseRecoveryText, saveClusterKey } from "./cluster-key.ts";
import { createSealer, isSealed } from "./sealing.ts";

describe("sealing", () => {
  const key = newClusterKey(seededRng(1));
  const sealer = createSealer(key, systemRng);

  test("what was sealed is opened at the same place", () => {
    for (const text of ["", "s3cret", "päß\n🐘", "x".repeat(100_000)]) {
      const sealed = sealer.seal(new Secret(text), "databases/a/spec");
      expect(isSealed(sealed)).toBe(true);
      expect(sealer.open(sealed, "databases/a/spec").reveal()).toBe(text);
    }
  });

  test("the sealed text shows neither the secret nor that two are equal", () => {
    const [a, b] = [1, 2].map(() => sealer.seal(new Secret("s3cret"), "x"));
    expect(a).not.toBe(b);
    expect(a).not.toContain(Buffer.from("s3cret").toString("base64url"));
    expect(a).toMatch(/^pgherd-sealed:1:[0-9a-f]{8}:[\w-]+$/);
  });

  test("another place, another key, an altered text and no sealed text are refused", () => {
    const sealed = sealer.seal(new Secret("s3cret"), "databases/a/spec");
    expect(() => sealer.open(sealed, "databases/b/spec")).toThrow("altered or belongs elsewhere");
    const other = createSealer(newClusterKey(seededRng(2)), systemRng);
    expect(() => other.open(sealed, "databases/a/spec")).toThrow("another cluster key");
    const at = sealed.length - 10;
    const flipped = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
    expect(() => sealer.open(flipped, "databases/a/spec")).toThrow("altered or belongs elsewhere");
    expect(() => sealer.open(sealed.slice(0, 40), "databases/a/spec")).toThrow("cut short");
    expect(() => sealer.open("s3cret", "databases/a/spec")).toThrow("no sealed text");
    expect(isSealed("s3cret")).toBe(false);
  });
});

describe("recovery key", () => {
  test("it reads back, however it was typed", () => {
    for (let seed = 0; seed < 50; seed++) {
      const key = newClusterKey(seededRng(seed));
      const text = key.recoveryText().reveal();
      expect(text).toMatch(/^PGHERD-KEY(-[0-9A-HJKMNP-TV-Z]{4}){14}$/);
      const typed = ` ${text.toLowerCase().replaceAll("-", " ").replaceAll("0", "o")}\n`;
      for (const version of [text, typed, text.replaceAll("1", "I"), text.replaceAll("1", "l")]) {
        const parsed = parseRecoveryText(version);
        expect(parsed.ok && Buffer.from(parsed.value.bytes())).toEqual(Buffer.from(key.bytes()));
      }
    }
  });

  test("a mistyped one is refused", () => {
    const text = newClusterKey(seededRng(1)).recoveryText().reveal();
    const wrong = text.replace(/.$/, (char) => (char === "A" ? "B" : "A"));
    expect(parseRecoveryText(wrong)).toEqual({ ok: false, error: "the recovery key is mistyped" });
    expect(parseRecoveryText(text.slice(0, -5)).ok).toBe(false);
    expect(parseRecoveryText("hello").ok).toBe(false);
    expect(parseRecoveryText(text.replace(/.$/, "U")).ok).toBe(false);
  });

  test("the key does not print", () => {
    const key = newClusterKey(seededRng(1));
    expect(`${key} ${JSON.stringify({ key })} ${key.recoveryText()}`).toBe(
      '[redacted] {"key":"[redacted]"} [redacted]',
    );
    expect(inspect(key)).not.toContain(Buffer.from(key.bytes()).toString("hex").slice(0, 8));
  });
});

describe("key file", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "pgherd-key-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("it is private, reads back, and is never overwritten", async () => {
    const path = join(directory, "cluster.key");
    const key = newClusterKey(systemRng);
    await saveClusterKey(path, key, systemRng);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await loadClusterKey(path)).bytes()).toEqual(key.bytes());
    const again = saveClusterKey(path, newClusterKey(systemRng), systemRng);
    expect(await again.catch(String)).toContain("exists already");
    expect((await loadClusterKey(path)).bytes()).toEqual(key.bytes());
    expect(await readdir(directory)).toEqual(["cluster.key"]);
  });

  test("one that is missing, readable by others or damaged is refused", async () => {
    const path = join(directory, "cluster.key");
    expect(await loadClusterKey(path).catch(String)).toContain("is missing");
    await writeFile(path, "PGHERD-KEY-0000\n", { mode: 0o600 });
    expect(await loadClusterKey(path).catch(String)).toContain("has 56 characters");
    await chmod(path, 0o640);
    expect(await loadClusterKey(path).catch(String)).toContain("chmod 600");
  });
});
