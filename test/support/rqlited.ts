// A real rqlited, supervised as the server does it, for tests.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { systemRng } from "../../src/base/rng.ts";
import * as processes from "../../src/host/process.ts";
import { createRqlite, type Rqlite } from "../../src/store/rqlite.ts";
import {
  type Rqlited,
  type RqlitedDeps,
  type RqlitedOptions,
  superviseRqlited,
} from "../../src/store/rqlited.ts";
import { rqlitedAsset } from "../../src/store/rqlited-asset.ts";

export const rqlitedDeps: RqlitedDeps = {
  clock: systemClock,
  rng: systemRng,
  logger: silentLogger,
  processes,
};

/** Options for a loopback rqlited on free ports below this directory. */
export function rqlitedOptions(dataDir: string): RqlitedOptions {
  const anyPort = { host: "127.0.0.1", port: 0 };
  return { dataDir, asset: rqlitedAsset, nodeId: "test-host", http: anyPort, raft: anyPort };
}

export interface TestRqlited {
  readonly rqlited: Rqlited;
  /** Another client with the server's rights. */
  client(): Rqlite;
  /** Drops every table, for a test that wants to make them. */
  empty(): Promise<Rqlite>;
  /** Ends it and removes its files. */
  dispose(): Promise<void>;
}

/** Starts one in a directory of its own. */
export async function startTestRqlited(): Promise<TestRqlited> {
  const dataDir = await mkdtemp(join(tmpdir(), "pgherd-store-"));
  const rqlited = await superviseRqlited(rqlitedOptions(dataDir), rqlitedDeps);
  return {
    rqlited,
    client: () => clientOf(rqlited),
    empty: () => emptied(clientOf(rqlited)),
    async dispose() {
      await rqlited.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function emptied(client: Rqlite): Promise<Rqlite> {
  const listed = await client.request([
    { sql: "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')", params: [] },
  ]);
  const drops = (listed[0]?.rows ?? []).map(([type, name]) => ({
    sql: `DROP ${type === "view" ? "VIEW" : "TABLE"} ${String(name)}`,
    params: [],
  }));
  await client.request(drops);
  return client;
}

/** A client with the rights of the server, or of the keeper. */
export function clientOf(rqlited: Rqlited, user: "server" | "keeper" = "server"): Rqlite {
  return createRqlite({
    urls: [rqlited.url],
    ...rqlited.users[user],
    clock: systemClock,
    rng: systemRng,
    linearizableAs: rqlited.capabilities.linearizable ? "linearizable" : "strong",
  });
}
