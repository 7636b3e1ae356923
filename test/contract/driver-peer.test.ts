// Runs the driver suite against another host, whose own server does the work and supervises what it made.

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../src/base/assert.ts";
import { systemClock } from "../../src/base/clock.ts";
import { uuidMaker } from "../../src/base/ids.ts";
import { seededRng, systemRng } from "../../src/base/rng.ts";
import { ByServerDriver } from "../../src/orchestrator/by-server.ts";
import type { Driver } from "../../src/orchestrator/driver.ts";
import { driverByName } from "../../src/orchestrator/registry.ts";
import { driverRoutes } from "../../src/peer/driver-routes.ts";
import { PlanFences } from "../../src/peer/plan-fences.ts";
import { RunningCalls } from "../../src/peer/running-calls.ts";
import { launcher, openDetached } from "../support/detached-bench.ts";
import { issueFor, newAuthority, PeerHost } from "../support/peer-host.ts";
import { type DriverBench, driverContract, fileOf, made } from "./driver.ts";

driverContract("detached processes of another host", openRemote);

test("a change while the other host's server supervises is its own, and the log comes back", async () => {
  const bench = await openRemote();
  const [directories, keeper] = made(bench);
  const lines: string[] = [];
  const context = { ...bench.context, log: (message: string) => lines.push(message) };
  await bench.driver.ensure(directories, context);
  const stop = new AbortController();
  const own = { ...bench.there.context, signal: stop.signal };
  const supervised = bench.there.driver.supervise(own, () => [keeper.id]);
  await bench.driver.ensure(keeper, context, fileOf(bench));
  expect(lines).toEqual(["started the fencer", "started the keeper"]);
  const before = bench.identity("keeper", keeper.id);
  await bench.crash("keeper", keeper.id);
  await bench.until(() => bench.identity("keeper", keeper.id) !== undefined);
  expect(bench.identity("keeper", keeper.id)).not.toBe(must(before, "a keeper"));
  await bench.driver.remove(keeper, context);
  expect(await bench.driver.observe(context)).toEqual([]);
  stop.abort();
  await supervised;
  await bench.close();
}, 30_000);

test("a host whose keepers run otherwise refuses", async () => {
  const bench = await openRemote("systemd");
  const [directories] = made(bench);
  const refused = bench.driver.ensure(directories, bench.context);
  await expect(refused).rejects.toThrow("runs its keepers by detached, not systemd");
  await bench.close();
});

async function openRemote(
  believed: "detached" | "systemd" = "detached",
): Promise<DriverBench & { readonly there: DriverBench }> {
  const there = await openDetached();
  const { executor, host: facts } = there.context;
  const directory = mkdtempSync(join(tmpdir(), "pgherd-caller-"));
  const authority = await newAuthority();
  const caller = await issueFor(authority, "h0", directory);
  const calls = new RunningCalls(systemClock);
  const host = await PeerHost.start(authority, "h1", {
    calls,
    routes: driverRoutes({
      driver: there.driver,
      executor,
      facts,
      calls,
      fences: new PlanFences(join(directory, "plans.json")),
    }),
  });
  const here: Driver | undefined = driverByName(
    believed,
    { clock: systemClock, rng: seededRng(1), launcher, executor },
    false,
  );
  return {
    ...there,
    there,
    driver: new ByServerDriver(
      must(here, "a driver"),
      uuidMaker(systemClock, systemRng),
      "h0",
      () => undefined,
    ),
    context: { ...there.context, executor: host.executorFor(caller) },
    close: async () => {
      await host.stop();
      rmSync(directory, { recursive: true, force: true });
      await there.close();
    },
  };
}
