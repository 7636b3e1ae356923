// What a server writes about its own host: the record at its start, the status from then on.
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import { hostReportIntervalMs } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Driver, StepContext } from "../orchestrator/driver.ts";
import type { HostRecord } from "../spec/host.ts";
import { hostPresentGuard, listHosts, saveHost, saveHostStatus } from "../store/hosts.ts";
import type { Store } from "../store/store.ts";
import { readHostSize } from "./host-facts.ts";
import { HostComponents } from "./host-status.ts";
import { findInstallations } from "./postgres-installations.ts";
import { StatusWriter } from "./status-writer.ts";

/** The part of the record that the configuration knows. */
export type ConfiguredHost = Pick<
  HostRecord,
  | "id"
  | "data_dir"
  | "run_dir"
  | "instance_dir"
  | "postgres_user"
  | "peer_addresses"
  | "client_addresses"
  | "etcd_mode"
  | "random_ports"
  | "server_version"
>;

/** The whole record, with what only the host itself can tell. */
export async function observeHost(
  configured: ConfiguredHost,
  binDirs: readonly string[],
  driver: Driver,
  context: Pick<StepContext, "executor" | "signal">,
): Promise<HostRecord> {
  const { executor, signal } = context;
  const size = await readHostSize(executor, signal);
  const installations = await findInstallations(executor, binDirs, signal);
  const { limits, survivesServerDown, services } = driver.capabilities;
  return {
    ...configured,
    orchestrator: driver.id,
    cpus: size.cpus,
    memory_bytes: size.memoryBytes,
    installations: [...installations],
    capabilities: { limits, survives_server_down: survivesServerDown, services },
  };
}

export interface HostReporterDeps {
  readonly store: Store;
  /** In the time of the cluster, as everything that is written down. */
  readonly clock: Clock;
  /** The host's own, which is looked at. */
  readonly ownClock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly driver: Driver;
  readonly context: Omit<StepContext, "signal" | "log">;
  /** Wall clock of the host that leads; undefined = there is none to compare with. */
  readonly leaderNowMs?: () => Promise<number | undefined>;
  /** Told by how much the host's clock is ahead of the leader's, whenever that was measured. */
  readonly onLeaderDifference?: (ms: number) => Promise<void>;
  /** Times of the certificate that other hosts know this one by. */
  readonly certificate?: () => { readonly issuedAtMs: number; readonly notAfterMs: number };
}

export class HostReporter {
  readonly #deps: HostReporterDeps;
  readonly #components: HostComponents;
  readonly #status: StatusWriter;
  #record: HostRecord | undefined;

  constructor(deps: HostReporterDeps) {
    this.#deps = deps;
    this.#status = new StatusWriter(deps);
    this.#components = new HostComponents({
      clock: deps.ownClock,
      driver: deps.driver,
      context: deps.context,
      askStore: () => listHosts(deps.store.display, []),
      installations: () => (this.#record?.witness ? undefined : this.#record?.installations),
      ...(deps.leaderNowMs ? { leaderNowMs: deps.leaderNowMs } : {}),
      ...(deps.onLeaderDifference ? { onLeaderDifference: deps.onLeaderDifference } : {}),
      ...(deps.certificate ? { certificate: deps.certificate } : {}),
    });
  }

  /**
   * Writes the record and the first status together, so that the host is never known without one. Only a `new` host
   * comes into the list by that: one that was removed meanwhile must not put itself back, and hears a terminal AppError.
   */
  async register(record: HostRecord, time: "new" | "known", signal: AbortSignal): Promise<void> {
    const { store, clock, ids } = this.#deps;
    this.#record = record;
    const components = await this.#components.look(signal);
    const nowMs = clock.nowMs();
    const outcome = await store.commit(
      {
        opId: ids.uuid(),
        guards: time === "new" ? [] : [hostPresentGuard(store.db, record.id)],
        statements: [
          saveHost(store.db, record, nowMs),
          saveHostStatus(store.db, record.id, { components }, nowMs),
        ],
      },
      signal,
    );
    if (outcome.ok) return;
    throw new AppError("terminal", `host ${record.id} is not in the cluster any more`);
  }

  /** Writes the status every hostReportIntervalMs until the signal aborts. A failed try is only logged. */
  async run(hostId: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#deps.clock.sleep(hostReportIntervalMs, signal);
        await this.#report(hostId, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#deps.log.warn("could not report the host's status", { error: messageOf(error) });
      }
    }
  }

  async #report(hostId: string, signal: AbortSignal): Promise<void> {
    const components = await this.#components.look(signal);
    await this.#status.write(hostId, components, signal);
  }
}
