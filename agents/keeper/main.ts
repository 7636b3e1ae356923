// The keeper as a process: reads its file, builds what it needs and runs until it is told to end. PostgreSQL is
// not its child and keeps running.

import { dirname, join } from "node:path";
import { systemBootClock } from "../../src/base/boot-clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { ClusterClock } from "../../src/base/cluster-clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { uuidMaker } from "../../src/base/ids.ts";
import { realtimeAfterStartMs } from "../../src/base/limits.ts";
import { createLogger, LOG_LEVELS, type Logger, LogLevels } from "../../src/base/log.ts";
import { systemRng } from "../../src/base/rng.ts";
import { accountName, ownUid } from "../../src/host/account.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { keepRealtime } from "../../src/host/realtime.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import { createLeaseStore } from "../../src/store/ha-lease.ts";
import { createHaStore } from "../../src/store/ha-store.ts";
import { createRqlite } from "../../src/store/rqlite.ts";
import { openKernel } from "../fencer/kernel.ts";
import { Keeper } from "./keeper.ts";
import { Relay } from "./relay/relay.ts";
import { clockAheadMs, storePassword, storeTls, storeUrls } from "./store-access.ts";

/** Runs `pgherd keeper --file <keeper.json>` until SIGTERM or SIGINT. Resolves with the exit status. */
export async function runKeeper(argv: readonly string[]): Promise<number> {
  const path = fileArgument(argv);
  if (path === undefined) {
    process.stderr.write("usage: pgherd keeper --file <keeper.json>\n");
    return 2;
  }
  const ended = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ended.abort());
  const file = await readKeeperFile(path);
  const log = keeperLog(file);
  try {
    const keeper = buildKeeper(file, log);
    void keepRealtime({ clock: systemClock, log, afterMs: realtimeAfterStartMs }, ended.signal);
    process.on("SIGUSR1", () => {
      log.info("the host is going down: leaving in order");
      void keeper.leave().finally(() => ended.abort());
    });
    await keeper.run(ended.signal);
    log.info("keeper ends, PostgreSQL keeps running");
    return 0;
  } catch (error) {
    log.fatal("keeper failed", { error });
    return 1;
  }
}

function buildKeeper(file: KeeperFile, log: Logger): Keeper {
  const rqlite = createRqlite({
    urls: storeUrls(file, systemClock),
    username: file.store_username,
    password: storePassword(file.store_password_file, systemClock),
    clock: systemClock,
    rng: systemRng,
    ...(file.store_tls ? { tls: storeTls(file.store_tls, systemClock) } : {}),
  });
  const own = accountName(ownUid());
  const relay = new Relay({
    clock: systemClock,
    log: log.component("relay"),
    rqlite,
    socket: join(dirname(file.layout.fencer_socket), "keepers.relay"),
    lock: openKernel().lock,
  });
  return new Keeper({
    file,
    boot: systemBootClock(),
    leases: createLeaseStore(
      { rqlite, clock: systemClock, patient: relay },
      { databaseId: file.database_id, nodeName: file.node_name },
    ),
    nonce: () => Buffer.from(systemRng.bytes(16)).toString("hex"),
    store: createHaStore(rqlite, file.instance_id, relay),
    relay,
    executor: new LocalExecutor(file.host_id, systemClock),
    clock: new ClusterClock(systemClock, clockAheadMs(file, systemClock)),
    rng: systemRng,
    log,
    incarnation: uuidMaker(systemClock, systemRng).uuid(),
    systemUsers: file.postgres_user === null ? [own] : [own, file.postgres_user],
  });
}

function fileArgument(argv: readonly string[]): string | undefined {
  const at = argv.indexOf("--file");
  return at < 0 ? undefined : argv[at + 1];
}

async function readKeeperFile(path: string): Promise<KeeperFile> {
  try {
    const file: KeeperFile = JSON.parse(await readText(path));
    return file;
  } catch (error) {
    throw new AppError("terminal", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

function readText(path: string): Promise<string> {
  return Bun.file(path).text();
}

function keeperLog(file: KeeperFile): Logger {
  const level = LOG_LEVELS.find((known) => known === file.log_level) ?? "info";
  const options = {
    clock: systemClock,
    levels: new LogLevels(level),
    write: (line: string) => process.stdout.write(`${line}\n`),
  };
  const { instance_id, database_id, node_name } = file;
  return createLogger(options, "keeper", { instance_id, database_id, node_name });
}
