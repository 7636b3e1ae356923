import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeUrls } from "./store-access.ts";

const directory = mkdtempSync(join(tmpdir(), "pgherd-store-access-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("the store's members are those of the server's file, as it is now", () => {
  const path = join(directory, "store-urls.json");
  const write = (content: unknown, seconds: number) => {
    writeFileSync(path, JSON.stringify(content));
    utimesSync(path, seconds, seconds);
  };
  const urls = storeUrls({ store_urls: ["https://own"], store_urls_file: path });
  expect(urls()).toEqual(["https://own"]);
  write(["https://own", "https://two"], 100);
  expect(urls()).toEqual(["https://own", "https://two"]);
  write(["https://own", "https://three"], 200);
  expect(urls()).toEqual(["https://own", "https://three"]);
  write([], 300);
  expect(urls()).toEqual(["https://own"]);
  expect(storeUrls({ store_urls: ["https://own"] })()).toEqual(["https://own"]);
});
