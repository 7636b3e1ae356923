import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { uuidMaker } from "../base/ids.ts";
import { taskLogMessageCharsMax } from "../base/limits.ts";
import { silentLogger } from "../base/log.ts";
import { seededRng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import { laterId, TaskLogWriter } from "./log.ts";

function writer(flush: () => Promise<void> = async () => {}, lastEntryId?: string) {
  const clock = new FakeClock();
  const ids = uuidMaker(clock, seededRng(1));
  return { clock, log: new TaskLogWriter({ clock, ids, log: silentLogger, lastEntryId, flush }) };
}

test("entry ids grow even after a worker whose clock was ahead", () => {
  const ahead = "ffffffff-ffff-7fff-bfff-0000000000ff";
  const { log } = writer(undefined, ahead);
  log.write("one");
  log.write("two");
  const ids = log.take().map(({ entryId }) => entryId);
  expect(ids).toEqual([
    "ffffffff-ffff-7fff-bfff-000000000100",
    "ffffffff-ffff-7fff-bfff-000000000101",
  ]);
  expect(laterId("2", "1")).toBe("2");
});

test("entries that may not have been written go again with the next commit", () => {
  const { log } = writer();
  log.write("one");
  expect(log.take()).toHaveLength(1);
  log.write("two");
  log.restore();
  expect(log.take().map(({ message }) => message)).toEqual(["one", "two"]);
  log.confirm();
  expect(log.take()).toEqual([]);
});

test("control characters, length and secrets are taken care of", () => {
  const { log } = writer();
  log.write(`a\u001b[31mb\nc${"x".repeat(taskLogMessageCharsMax)}`, {
    password: new Secret("hunter2"),
    text: "d\u0007e",
  });
  const [entry] = log.take();
  expect(entry?.message.startsWith("a[31mb cx")).toBe(true);
  expect(entry?.message).toHaveLength(taskLogMessageCharsMax);
  expect(entry?.fields).toEqual({ password: "[redacted]", text: "de" });
});

test("the timer flushes only when something waits", async () => {
  let flushes = 0;
  const made = writer(async () => {
    flushes += 1;
    made.log.take();
    made.log.confirm();
  });
  const stop = new AbortController();
  const running = made.log.run(stop.signal);
  await made.clock.advance(1_000);
  expect(flushes).toBe(0);
  made.log.write("one");
  await made.clock.advance(250);
  expect(flushes).toBe(1);
  stop.abort(new DOMException("", "AbortError"));
  await running;
});
