// What every part of the server shares: configuration, time, randomness, log. Built once, in server.ts.
import type { Ids } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Rng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { Executor } from "../host/executor.ts";
import type { Driver } from "../orchestrator/driver.ts";
import type { ServerClock } from "./clock-file.ts";

export interface ServerEnvironment {
  readonly config: Config;
  /** In the time of the cluster. */
  readonly clock: ServerClock;
  readonly ids: Ids;
  readonly rng: Rng;
  readonly log: Logger;
  /** Reaches this host. */
  readonly executor: Executor;
  /** Runs this host's keepers. */
  readonly driver: Driver;
}
