// A task's log as server-sent events: order, resumption, heartbeats, every way of ending.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventStreamHeartbeatMs } from "../../src/base/limits.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

let server: TestServer;
let taskId: string;
let path: string;
beforeEach(async () => {
  server = startTestServer();
  await server.operations.initCluster("c1");
  const spec = { database_name: "shop", nodes: [{ name: "n1", host_ids: ["h1"] }] };
  const { task } = await server.operations.createDatabase({ id: "shop", spec });
  taskId = task.task_id;
  path = `${server.url}/v1/databases/shop/tasks/${taskId}/log?follow=true`;
});
afterEach(() => server.stop());

/** Reads a stream piece by piece until a text has come, and returns everything so far. */
class Reader {
  readonly #reader: {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
  readonly #decoder = new TextDecoder();
  text = "";

  constructor(response: Response) {
    if (!response.body) throw new Error("no body");
    this.#reader = response.body.getReader();
  }

  async until(wanted: string): Promise<string> {
    while (!this.text.includes(wanted)) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`ended before ${wanted}: ${this.text}`);
      this.text += this.#decoder.decode(value, { stream: true });
    }
    return this.text;
  }

  async toEnd(): Promise<string> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return this.text;
      this.text += this.#decoder.decode(value, { stream: true });
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

test("entries come as they are written, and the end says how it ended", async () => {
  const first = server.operations.log(taskId, "one", { host_id: "h1" });
  const response = await fetch(path);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const reader = new Reader(response);
  await reader.until("one");
  const second = server.operations.log(taskId, "two\nlines");
  await reader.until("two");
  server.operations.finish(taskId, "completed");
  expect(await reader.toEnd()).toBe(
    [
      "retry: 1000",
      "",
      "event: entry",
      `id: ${first}`,
      'data: {"timestamp":"2026-01-01T00:00:00Z","message":"one","fields":{"host_id":"h1"}}',
      "",
      "event: entry",
      `id: ${second}`,
      'data: {"timestamp":"2026-01-01T00:00:00Z","message":"two\\nlines"}',
      "",
      "event: end",
      `id: ${second}`,
      'data: {"status":"completed"}',
      "",
      "",
    ].join("\n"),
  );
});

test.each(["header", "query"])("resumes after the entry named in the %s", async (place) => {
  const first = server.operations.log(taskId, "one");
  server.operations.log(taskId, "two");
  server.operations.finish(taskId, "failed");
  const response =
    place === "header"
      ? await fetch(path, { headers: { "last-event-id": first } })
      : await fetch(`${path}&after_entry_id=${first}`);
  const text = await response.text();
  expect(text).not.toContain("one");
  expect(text).toContain("two");
  expect(text).toContain("event: end\n");
  expect(text).toContain('{"status":"failed"}');
});

test("silence is filled with comments", async () => {
  const reader = new Reader(await fetch(path));
  await reader.until("retry");
  while (server.clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  await server.clock.advance(eventStreamHeartbeatMs);
  await reader.until(": still here\n\n");
  server.operations.log(taskId, "after");
  await reader.until("after");
  await reader.cancel();
});

test("an unknown task is a 404, not a stream", async () => {
  const unknown = "01900000-0000-7000-8000-000000000000";
  const response = await fetch(`${server.url}/v1/databases/shop/tasks/${unknown}/log?follow=true`);
  expect(response.status).toBe(404);
  expect(response.headers.get("goa-error")).toBe("not_found");
});

test("a stopping server ends its streams", async () => {
  const reader = new Reader(await fetch(path));
  await reader.until("retry");
  server.announceStop();
  expect(await reader.toEnd()).not.toContain("event: end");
});

test("a client that leaves ends the following", async () => {
  const ended = Promise.withResolvers<void>();
  const follow = server.operations.followTaskLog.bind(server.operations);
  server.operations.followTaskLog = (scope, entity, task, after, signal) => {
    signal.addEventListener("abort", () => ended.resolve(), { once: true });
    return follow(scope, entity, task, after, signal);
  };
  const reader = new Reader(await fetch(path));
  await reader.until("retry");
  await reader.cancel();
  await ended.promise;
});

test("a failure below breaks the stream, and the server lives on", async () => {
  const reader = new Reader(await fetch(path));
  await reader.until("retry");
  server.operations.failure = new Error("store lost");
  server.operations.notify();
  expect(await reader.toEnd()).not.toContain("event: end");
  expect(server.lines.at(-1)).toMatchObject({ level: "warn", taskId, error: "store lost" });
  expect((await fetch(`${server.url}/v1/version`)).status).toBe(200);
});

test("HEAD opens no stream", async () => {
  const response = await fetch(path, { method: "HEAD" });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
});
