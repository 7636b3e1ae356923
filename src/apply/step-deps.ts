// What the handlers of steps work with, and how they find the host of a step.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import type { Executor, ExecutorOf } from "../host/executor.ts";
import type { Driver, StepContext } from "../orchestrator/driver.ts";
import { factsOf, type HostFacts } from "../plan/placement.ts";
import type { HostRecord } from "../spec/host.ts";
import type { KeeperFile } from "../spec/instance-config.ts";
import { databaseCreatedAt } from "../store/databases.ts";
import { listHosts } from "../store/hosts.ts";
import type { Sealer } from "../store/sealing.ts";
import type { Store } from "../store/store.ts";
import type { CertificateIssuer } from "./certificates.ts";
import type { StepRun } from "./task-run.ts";

/** How a keeper on some host reaches the store, and how much it logs. */
export type KeeperAccess = Pick<
  KeeperFile,
  | "store_urls"
  | "store_urls_file"
  | "store_username"
  | "store_password_file"
  | "store_tls"
  | "log_level"
>;

export interface StepDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  /** Driver of a host, by the `orchestrator` of its record. */
  readonly driver: (orchestrator: string) => Driver | undefined;
  readonly executor: ExecutorOf;
  readonly keeperAccess: (host: HostRecord) => KeeperAccess;
  readonly issuer: CertificateIssuer;
}

/** The handler of one kind of resource. */
export interface StepHandler {
  ensure(run: StepRun, deps: StepDeps): Promise<void>;
  remove(run: StepRun, deps: StepDeps): Promise<void>;
}

export interface StepHost {
  readonly record: HostRecord;
  readonly driver: Driver;
  readonly executor: Executor;
  readonly facts: HostFacts;
  readonly context: StepContext;
}

/** The host of the step's resource with its driver and executor; throws when there is none. */
export async function hostOf(run: StepRun, deps: StepDeps): Promise<StepHost> {
  const { hostId } = run.step.resource;
  const { databaseId, generation } = run.plan;
  const [[host], createdAtMs] = await Promise.all([
    listHosts(deps.store.db, [hostId]),
    databaseCreatedAt(deps.store.db, databaseId),
  ]);
  if (!host) throw new AppError("terminal", `host ${hostId} is not part of the cluster`);
  const { record } = host;
  const driver = deps.driver(record.orchestrator);
  if (!driver) {
    throw new AppError("terminal", `host ${hostId} runs ${record.orchestrator}, unknown here`);
  }
  const plan = { databaseId, generation, epoch: run.epoch, createdAtMs: createdAtMs ?? 0 };
  const executor = await deps.executor(hostId, plan);
  if (!executor) throw new AppError("retryable", `host ${hostId} cannot be reached`);
  const facts = factsOf(record);
  const context = { executor, host: facts, signal: run.signal, log: run.log };
  return { record, driver, executor, facts, context };
}
