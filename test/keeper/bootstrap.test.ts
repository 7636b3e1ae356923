// A keeper takes an instance from nothing to a running primary, and does what steps ask of it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { KeptInstance } from "../support/kept-instance.ts";

let instance: KeptInstance;
beforeAll(async () => {
  instance = await KeptInstance.prepare();
});
afterAll(() => instance.close());

test("from nothing to a running primary", async () => {
  const config = instance.config();
  await instance.configure(config);
  const startedMs = systemClock.monotonicMs();
  instance.startFencer();
  instance.startKeeper();
  const report = await instance.untilReport((r) => r.applied_generation === config.generation);
  console.log("ready after ms", systemClock.monotonicMs() - startedMs);
  expect(report).toMatchObject({
    postgres_state: "running",
    role: "primary",
    pending_restart: false,
    timeline: 1,
  });
  expect(report.postgres_version).toStartWith("15.");
  expect(report.error).toBeUndefined();
  expect(await instance.query("SHOW data_checksums")).toBe("on");
  expect(await instance.query("SHOW server_encoding")).toBe("UTF8");
  console.log(instance.logs());
}, 30_000);
