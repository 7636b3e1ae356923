// How a keeper reaches the store now: files that the host's server changes while the keeper runs.
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { clockFileName } from "../../src/base/cluster-clock.ts";
import { storeFilesCheckMs } from "../../src/base/limits.ts";
import { Secret } from "../../src/base/secret.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import type { RqliteTls } from "../../src/store/rqlite.ts";

/** The store's members as the host's server writes them down; those of the keeper file while it has not. */
export function storeUrls(
  { store_urls, store_urls_file: path }: Pick<KeeperFile, "store_urls" | "store_urls_file">,
  clock: Clock,
): () => readonly string[] {
  if (path === undefined) return () => store_urls;
  return followed(clock, [path], (there) => (there ? parseUrls(path) : undefined) ?? store_urls);
}

function parseUrls(path: string): readonly string[] | undefined {
  const list: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(list)) return undefined;
  const urls = list.filter((each) => typeof each === "string");
  return urls.length > 0 ? urls : undefined;
}

/** By how much the host's wall clock is ahead of the cluster's time, as its server last measured; 0 while it has not. */
export function clockAheadMs(
  { store_urls_file: path }: Pick<KeeperFile, "store_urls_file">,
  clock: Clock,
): () => number {
  if (path === undefined) return () => 0;
  const file = join(dirname(path), clockFileName);
  return followed(clock, [file], (there) => (there ? parseAhead(file) : 0));
}

function parseAhead(path: string): number {
  const aheadMs: unknown = JSON.parse(readFileSync(path, "utf8"));
  return typeof aheadMs === "number" ? aheadMs : 0;
}

/** The password, read again whenever the host's server replaced it. Throws when there never was one. */
export function storePassword(path: string, clock: Clock): () => Secret {
  let known = new Secret(readFileSync(path, "utf8").trim());
  return followed(clock, [path], (there) => {
    if (there) known = new Secret(readFileSync(path, "utf8").trim());
    return known;
  });
}

/** The host's certificate, read again whenever it was renewed. */
export function storeTls(
  files: NonNullable<KeeperFile["store_tls"]>,
  clock: Clock,
): () => RqliteTls {
  const text = (path: string) => readFileSync(path, "utf8");
  const paths = [files.ca_file, files.cert_file, files.key_file] as const;
  const read = () => ({ ca: text(paths[0]), cert: text(paths[1]), key: text(paths[2]) });
  return followed(clock, paths, read);
}

/** What is made of files, made again once one of them changed. They are looked at now and then: every request asks. */
function followed<T>(clock: Clock, paths: readonly string[], make: (there: boolean) => T): () => T {
  let known: { readonly seen: string; readonly value: T } | undefined;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = clock.monotonicMs();
    if (known && nowMs - lookedAtMs < storeFilesCheckMs) return known.value;
    const times = paths.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs);
    const seen = times.join();
    if (known?.seen !== seen) known = { seen, value: make(!times.includes(undefined)) };
    lookedAtMs = nowMs;
    return known.value;
  };
}
