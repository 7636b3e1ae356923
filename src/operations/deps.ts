// What the operations need from the composition root. Nothing here is constructed by the operations themselves.
import type { Clock } from "../base/clock.ts";
import type { Ids } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Rng } from "../base/rng.ts";
import type { Secret } from "../base/secret.ts";
import type { Executor, ExecutorOf } from "../host/executor.ts";
import type { Driver } from "../orchestrator/driver.ts";
import type { LearnedHostKey, SshAccess } from "../spec/add-host.ts";
import type { JoinOptionsRequest, JoinOptionsResponse } from "../spec/cluster.ts";
import type { SshRecord } from "../spec/host.ts";
import type { Sealer } from "../store/sealing.ts";
import type { Store } from "../store/store.ts";
import type { StatementParser } from "./statement-parser.ts";

/** A machine that is looked at over SSH before it becomes a host. */
export interface SshProbe {
  readonly executor: Executor;
  /** Keys that were taken on first use. */
  readonly learned: () => readonly LearnedHostKey[];
  /** What is stored of the way there; credentials sealed. */
  readonly record: () => Omit<SshRecord, "bin_dirs">;
  readonly close: () => Promise<void>;
}

/** Everything that exists only after the cluster was initialised. */
export interface ClusterRuntime {
  readonly clusterId: string;
  /** Of this server. */
  readonly hostId: string;
  readonly store: Store;
  readonly sealer: Sealer;
  /** `PGEDGE-<fingerprint of the CA>-<secret>` */
  readonly joinTokenText: (secret: Secret) => Secret;
  readonly newJoinToken: () => { readonly id: string; readonly secret: Secret };
  /** Lets a host in; throws OperationError. */
  readonly admit: (request: JoinOptionsRequest) => Promise<JoinOptionsResponse>;
  /** Makes this host the only member of a store without a quorum; `copy` is where the replaced files are. */
  readonly recoverQuorum: () => Promise<{ readonly copy: string }>;
  /** Has every host replace its certificate; the time of the wish, wall clock, milliseconds. */
  readonly rotateCertificates: () => Promise<number>;
  /** The whole store as an SQLite file. */
  readonly backup: () => Promise<Response>;
  /** Replaces the store's content by such a file; members, leases and tokens stay as they are. */
  readonly restore: (file: Uint8Array) => Promise<void>;
  /** Takes a host's member out of the store; nothing happens when it has none. */
  readonly removeNode: (hostId: string) => Promise<void>;
  /** Driver of a host, by the `orchestrator` of its record; undefined = this build does not have it. */
  readonly driver: (orchestrator: string) => Driver | undefined;
  readonly executor: ExecutorOf;
  /** The members of the store, as one of them says. */
  readonly storeNodes: () => Promise<readonly { readonly id: string; readonly voter: boolean }[]>;
  /** Opens nothing yet; throws a terminal AppError for a host key that is none. */
  readonly openSsh: (hostId: string, access: SshAccess) => SshProbe;
  /** As uname -m has it; the program of this server runs on no other. */
  readonly machine: string;
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
  /**
   * Joins a cluster and starts everything `runtime` needs; throws OperationError and AppError. Called at
   * most once at a time.
   */
  readonly join: (token: Secret, serverUrls: readonly string[]) => Promise<void>;
  /** Whether this server joined with this token without anybody having been told. Tells it once. */
  readonly joinedUnanswered: (token: Secret) => Promise<boolean>;
  /** Base URLs under which this server is reached by others. */
  readonly serverUrls: () => readonly string[];
  /** Why a text is not one SQL statement; null when it is. */
  readonly parseStatement: StatementParser;
}
