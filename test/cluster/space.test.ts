// A host whose disk has no more room for the store: it says so, and goes on when there is room.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../e2e/harness.ts";
import { TestCluster, TestHost } from "./members.ts";

setDefaultTimeout(60_000);

const cluster = new TestCluster();
const host = new TestHost(cluster.directory, 1, {});
mkdirSync(host.dataDir);
const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", host.dataDir]);
if (mounted.exitCode !== 0) {
  console.log(`no test of a full disk here: ${mounted.stderr.toString().trim()}`);
}

beforeAll(async () => {
  cluster.hosts.push(host);
  await host.start();
  await cluster.init();
});
afterAll(async () => {
  await host.kill();
  // Lazily: a process that was just killed may hold it for a moment.
  if (mounted.exitCode === 0) Bun.spawnSync(["umount", "--lazy", host.dataDir]);
  await cluster.destroy();
});

test.if(mounted.exitCode === 0)("a full disk is told as one, never as a lost quorum", async () => {
  const file = join(host.dataDir, "filler");
  const { bavail, bsize } = statfsSync(host.dataDir);
  // Others write there meanwhile: whatever still fits.
  Bun.spawnSync(["head", "-c", String(bavail * bsize), "/dev/zero"], { stdout: Bun.file(file) });
  const names: string[] = [];
  await eventually("changes are refused", async () => {
    const { status, body, headers } = await host.post("/v1/cluster/join-tokens", {});
    if (status === 200) return undefined;
    names.push(body.name);
    expect([status, headers.get("retry-after") !== null]).toEqual([503, true]);
    return true;
  });
  for (let tries = 0; tries < 5; tries++) {
    const { status, body } = await host.post("/v1/cluster/join-tokens", {});
    if (status !== 200) names.push(body.name);
  }
  console.log(`with a full disk: ${names.join(" ")}`);
  expect(new Set(names)).toEqual(new Set(["storage_full"]));
  const component = await eventually("the host says so", async () => {
    const { status, body } = await host.get("/v1/cluster");
    return status === 200 ? body : undefined;
  });
  expect(component.hosts.length).toBe(1);
  rmSync(file);
  await eventually("it goes on", async () =>
    (await host.post("/v1/cluster/join-tokens", {})).status === 200 ? true : undefined,
  );
});
