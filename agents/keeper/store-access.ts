// How a keeper reaches the store now: files that the host's server changes while the keeper runs.
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { clockFileName } from "../../src/base/cluster-clock.ts";
import { Secret } from "../../src/base/secret.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import type { RqliteTls } from "../../src/store/rqlite.ts";

/** The store's members as the host's server writes them down; those of the keeper file while it has not. */
export function storeUrls({
  store_urls,
  store_urls_file: path,
}: Pick<KeeperFile, "store_urls" | "store_urls_file">): () => readonly string[] {
  if (path === undefined) return () => store_urls;
  let known = { seen: 0, urls: store_urls };
  return () => {
    const seen = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (seen !== known.seen) known = { seen, urls: parseUrls(path) ?? store_urls };
    return known.urls;
  };
}

function parseUrls(path: string): readonly string[] | undefined {
  const list: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(list)) return undefined;
  const urls = list.filter((each) => typeof each === "string");
  return urls.length > 0 ? urls : undefined;
}

/** By how much the host's wall clock is ahead of the cluster's time, as its server last measured; 0 while it has not. */
export function clockAheadMs({
  store_urls_file: path,
}: Pick<KeeperFile, "store_urls_file">): () => number {
  if (path === undefined) return () => 0;
  const file = join(dirname(path), clockFileName);
  let known = { seen: 0, aheadMs: 0 };
  return () => {
    const seen = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (seen !== known.seen) known = { seen, aheadMs: seen === 0 ? 0 : parseAhead(file) };
    return known.aheadMs;
  };
}

function parseAhead(path: string): number {
  const aheadMs: unknown = JSON.parse(readFileSync(path, "utf8"));
  return typeof aheadMs === "number" ? aheadMs : 0;
}

/** The password, read again whenever the host's server replaced it. Throws when there never was one. */
export function storePassword(path: string): () => Secret {
  const seen = () => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const read = () => new Secret(readFileSync(path, "utf8").trim());
  let known = { seen: seen(), password: read() };
  return () => {
    const now = seen();
    if (now !== known.seen && now !== 0) known = { seen: now, password: read() };
    return known.password;
  };
}

/** The host's certificate, read again whenever it was renewed. */
export function storeTls(files: NonNullable<KeeperFile["store_tls"]>): () => RqliteTls {
  const text = (path: string) => readFileSync(path, "utf8");
  const paths = [files.ca_file, files.cert_file, files.key_file] as const;
  const read = () => ({ ca: text(paths[0]), cert: text(paths[1]), key: text(paths[2]) });
  const seen = () => paths.map((path) => statSync(path).mtimeMs).join();
  let known = { seen: seen(), tls: read() };
  return () => {
    const now = seen();
    if (now !== known.seen) known = { seen: now, tls: read() };
    return known.tls;
  };
}
