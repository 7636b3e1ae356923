// The HTTP layer over FakeOperations on a real socket, for tests.
import { FakeClock } from "../../src/base/fake-clock.ts";
import { uuidMaker } from "../../src/base/ids.ts";
import { createLogger, LogLevels } from "../../src/base/log.ts";
import { seededRng } from "../../src/base/rng.ts";
import { createApp } from "../../src/http/app.ts";
import { listen } from "../../src/http/listener.ts";
import { FakeOperations } from "./fake-operations.ts";

export interface TestServer {
  readonly url: string;
  readonly operations: FakeOperations;
  readonly clock: FakeClock;
  /** Log lines, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Announces the stop, as a signal does. */
  readonly announceStop: () => void;
  readonly stop: () => Promise<void>;
}

/** Listens on a free port of the loopback interface. */
export function startTestServer(): TestServer {
  const clock = new FakeClock();
  const ids = uuidMaker(clock, seededRng(1));
  const operations = new FakeOperations(clock, ids);
  const lines: Record<string, unknown>[] = [];
  const stopping = new AbortController();
  const log = createLogger(
    { clock, levels: new LogLevels("debug"), write: (line) => lines.push(JSON.parse(line)) },
    "http",
  );
  const version = {
    version: "1.2.3",
    revision: "abc",
    revision_time: "2026-01-01T00:00:00Z",
    arch: "amd64",
  };
  const app = createApp({ operations, version, clock, log, stopping: stopping.signal });
  const listener = listen({ app, clock, ids, log }, { hostname: "127.0.0.1", port: 0 });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    operations,
    clock,
    lines,
    announceStop: () => stopping.abort(),
    async stop() {
      stopping.abort();
      await listener.stop(AbortSignal.abort());
    },
  };
}
