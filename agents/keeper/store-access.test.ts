import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterClock } from "../../src/base/cluster-clock.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { storeFilesCheckMs } from "../../src/base/limits.ts";
import { seededRng } from "../../src/base/rng.ts";
import { ServerClock } from "../../src/server/clock-file.ts";
import { clockAheadMs, storeUrls } from "./store-access.ts";

const directory = mkdtempSync(join(tmpdir(), "pgherd-store-access-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("the store's members are those of the server's file, as it is now", async () => {
  const path = join(directory, "store-urls.json");
  const write = (content: unknown, seconds: number) => {
    writeFileSync(path, JSON.stringify(content));
    utimesSync(path, seconds, seconds);
  };
  const clock = new FakeClock();
  const follow = storeUrls({ store_urls: ["https://own"], store_urls_file: path }, clock);
  const urls = async () => {
    await clock.advance(storeFilesCheckMs);
    return follow();
  };
  expect(await urls()).toEqual(["https://own"]);
  write(["https://own", "https://two"], 100);
  expect(await urls()).toEqual(["https://own", "https://two"]);
  write(["https://own", "https://three"], 200);
  expect(await urls()).toEqual(["https://own", "https://three"]);
  write([], 300);
  expect(await urls()).toEqual(["https://own"]);
  expect(storeUrls({ store_urls: ["https://own"] }, clock)()).toEqual(["https://own"]);
});

test("the time of the cluster is as the server measured it last", async () => {
  const own = new FakeClock();
  const ahead = clockAheadMs({ store_urls_file: join(directory, "store-urls.json") }, own);
  expect(ahead()).toBe(0);
  const server = new ServerClock(own);
  const keeper = new ClusterClock(own, ahead);
  const times = async () => {
    await own.advance(storeFilesCheckMs);
    return [server.nowMs() - own.nowMs(), keeper.nowMs() - own.nowMs()];
  };
  await server.follow(600_000, directory, seededRng(1));
  expect(await times()).toEqual([-600_000, -600_000]);
  // Less than what measuring may be wrong by changes nothing.
  await server.follow(600_400, directory, seededRng(1));
  expect(await times()).toEqual([-600_000, -600_000]);
  await server.follow(-5_000, directory, seededRng(1));
  utimesSync(join(directory, "clock-ahead.json"), 200, 200);
  expect(await times()).toEqual([5_000, 5_000]);
  await server.follow(400, directory, seededRng(1));
  utimesSync(join(directory, "clock-ahead.json"), 300, 300);
  expect(await times()).toEqual([0, 0]);
  expect(clockAheadMs({}, own)()).toBe(0);
});
