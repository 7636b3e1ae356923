// What the operations need from the composition root. Nothing here is constructed by the operations themselves.
import type { Clock } from "../base/clock.ts";
import type { Ids } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Rng } from "../base/rng.ts";
import type { Secret } from "../base/secret.ts";
import type { Executor } from "../host/executor.ts";
import type { Driver } from "../orchestrator/driver.ts";
import type { Sealer } from "../store/sealing.ts";
import type { Store } from "../store/store.ts";
import type { StatementParser } from "./statement-parser.ts";

/** Everything that exists only after the cluster was initialised. */
export interface ClusterRuntime {
  readonly clusterId: string;
  readonly store: Store;
  readonly sealer: Sealer;
  /** `PGEDGE-<64 hex>-<32 hex>`; constant for the life of the cluster. */
  readonly joinToken: Secret;
  /** Driver of a host, by the `orchestrator` of its record; undefined = this build does not have it. */
  readonly driver: (orchestrator: string) => Driver | undefined;
  /** How to reach a host; undefined = it cannot be reached from here. */
  readonly executor: (hostId: string) => Executor | undefined;
}

/** What init made. The recovery key is shown once and not kept. */
export interface Bootstrapped {
  readonly recoveryKey: Secret;
}

export interface OperationsDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly rng: Rng;
  readonly log: Logger;
  /** Undefined until the server belongs to an initialised cluster. */
  readonly runtime: () => ClusterRuntime | undefined;
  /** Initialises the cluster on this host and starts everything `runtime` needs; throws AppError. Called at most once at a time. */
  readonly bootstrap: (clusterId: string) => Promise<Bootstrapped>;
  /** Base URLs under which this server is reached by others. */
  readonly serverUrls: () => readonly string[];
  /** Why a text is not one SQL statement; null when it is. */
  readonly parseStatement: StatementParser;
}
