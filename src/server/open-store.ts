// This host's member of the store: rqlited under supervision, our client of it, tables up to date.
import { join } from "node:path";
import * as processes from "../host/process.ts";
import { migrate } from "../store/migrate.ts";
import { migrations } from "../store/migrations.gen.ts";
import { createRqlite } from "../store/rqlite.ts";
import { type Rqlited, superviseRqlited } from "../store/rqlited.ts";
import { rqlitedAsset } from "../store/rqlited-asset.ts";
import { replaceFile } from "../store/rqlited-binary.ts";
import { createStore, type Store } from "../store/store.ts";
import type { ServerEnvironment } from "./environment.ts";

export interface OpenedStore {
  readonly store: Store;
  readonly rqlited: Rqlited;
  /** Holds the password of keepers, for those that run as the server's user. */
  readonly keeperPasswordFile: string;
}

/** The store listens to this host only, for as long as it is the only one. */
const LISTEN_HOST = "127.0.0.1";

/** Starts or takes over rqlited and brings the tables up to date. Nothing is left running when it throws. */
export async function openStore(
  environment: ServerEnvironment,
  signal: AbortSignal,
): Promise<OpenedStore> {
  const { config, clock, rng, log } = environment;
  const rqlited = await superviseRqlited(
    {
      dataDir: config.data_dir,
      asset: rqlitedAsset,
      nodeId: config.host_id,
      http: { host: LISTEN_HOST, port: config.store.http_port },
      raft: { host: LISTEN_HOST, port: config.store.raft_port },
    },
    { clock, rng, logger: log.component("store"), processes },
    signal,
  );
  try {
    const rqlite = createRqlite({
      urls: [rqlited.url],
      ...rqlited.users.server,
      clock,
      rng,
      linearizableAs: rqlited.capabilities.linearizable ? "linearizable" : "strong",
    });
    const { applied } = await migrate({ rqlite, clock }, migrations, signal);
    if (applied.length > 0) log.component("store").info("migrated", { applied });
    const keeperPasswordFile = join(config.data_dir, "rqlited", "keeper.password");
    const password = rqlited.users.keeper.password.reveal();
    await replaceFile(keeperPasswordFile, `${password}\n`, { mode: 0o600, rng });
    return { store: createStore({ rqlite, clock, rng }), rqlited, keeperPasswordFile };
  } catch (thrown) {
    await rqlited.stop();
    throw thrown;
  }
}
