// What the leader does for hosts without a server: looks how they are, keeps their certificates and the list
// of members fresh, and starts keepers again where nothing on the host does. Each host on its own: one that
// does not answer holds up no other.

import { join } from "node:path";
import { within } from "../../apply/within.ts";
import { clockFileName } from "../../base/cluster-clock.ts";
import { messageOf } from "../../base/errors.ts";
import {
  clusterClockNoiseMs,
  hostCareIntervalMs,
  hostCareTimeoutMs,
  hostFactsIntervalMs,
  hostUploadTimeoutMs,
  stepAbortGraceMs,
} from "../../base/limits.ts";
import { buildVersion } from "../../base/version.ts";
import type { Executor } from "../../host/executor.ts";
import { readHostSize } from "../../observe/host-facts.ts";
import type { HostComponents } from "../../observe/host-status.ts";
import { findInstallations } from "../../observe/postgres-installations.ts";
import { StatusWriter } from "../../observe/status-writer.ts";
import type { Driver } from "../../orchestrator/driver.ts";
import { distantDriver } from "../../orchestrator/registry.ts";
import { factsOf } from "../../plan/placement.ts";
import type { HostRecord } from "../../spec/host.ts";
import { loadClusterSetting } from "../../store/cluster-settings.ts";
import { listHosts, renewHostRecord } from "../../store/hosts.ts";
import type { Member } from "../member.ts";
import {
  type CertificateTimes,
  ensureCertificate,
  ensurePassword,
  ensureStoreUrls,
  storeUrls,
} from "./access-files.ts";
import { distantComponents } from "./look.ts";
import { ensureProgram, OwnProgram, type Site } from "./program.ts";
import type { SshWays } from "./ways.ts";

/** The care for all of them; only the leader works. */
export class HostCare {
  readonly #member: Member;
  readonly #ways: SshWays;
  readonly #program = new OwnProgram();
  readonly #patients = new Map<string, Patient>();
  /** Hosts that leave: what is put there now would stay. */
  readonly #dismissed = new Set<string>();

  constructor(member: Member, ways: SshWays) {
    this.#member = member;
    this.#ways = ways;
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#member.environment;
    while (!signal.aborted) {
      try {
        await this.#round(signal);
      } catch (thrown) {
        if (signal.aborted) break;
        log.component("hosts").warn("cannot list the hosts", { error: messageOf(thrown) });
      }
      await clock.sleep(hostCareIntervalMs, signal).catch(() => undefined);
    }
    await Promise.all([...this.#patients.values()].map((patient) => patient.left()));
    this.#patients.clear();
  }

  /** Nothing is put on the host any more once this resolves. */
  async dismiss(hostId: string): Promise<void> {
    this.#dismissed.add(hostId);
    await this.#patients.get(hostId)?.left();
  }

  /** It stays, or is a host again. */
  readmit(hostId: string): void {
    this.#dismissed.delete(hostId);
  }

  async #round(signal: AbortSignal): Promise<void> {
    const hosts = (await listHosts(this.#member.opened.store.display)).map(({ record }) => record);
    const here = hosts.filter(({ ssh }) => ssh !== undefined);
    for (const id of this.#patients.keys()) {
      if (here.some((host) => host.id === id)) continue;
      this.#patients.delete(id);
      await this.#ways.forget(id);
    }
    for (const host of here.filter(({ id }) => !this.#dismissed.has(id))) {
      const patient =
        this.#patients.get(host.id) ?? new Patient(this.#member, this.#ways, this.#program);
      this.#patients.set(host.id, patient);
      patient.visit(host, signal);
    }
  }
}

/** One host under care. */
class Patient {
  readonly #member: Member;
  readonly #ways: SshWays;
  readonly #program: OwnProgram;
  readonly #status: StatusWriter;
  #visiting: Promise<void> | undefined;
  #upgrading: Promise<void> | undefined;
  #components: { readonly made: string; readonly of: HostComponents } | undefined;
  #certificate: CertificateTimes = { issuedAtMs: 0, notAfterMs: 0 };
  #factsAtMs = Number.NEGATIVE_INFINITY;
  #failed = false;
  #aheadMs: number | undefined;

  constructor(member: Member, ways: SshWays, program: OwnProgram) {
    this.#member = member;
    this.#ways = ways;
    this.#program = program;
    const { clock, ids } = member.environment;
    this.#status = new StatusWriter({ store: member.opened.store, clock, ids });
  }

  /** Begins a visit, unless the last one is still under way. */
  visit(host: HostRecord, signal: AbortSignal): void {
    if (this.#visiting) return;
    const { clock } = this.#member.environment;
    const bounded = clock.deadline(hostCareTimeoutMs, signal);
    this.#visiting = within(clock, this.#visit(host, bounded), bounded, stepAbortGraceMs)
      .then(() => this.#tell(host, undefined, signal))
      .catch((thrown: unknown) => this.#tell(host, messageOf(thrown), signal))
      .finally(() => {
        this.#visiting = undefined;
      });
    if (isNewer(buildVersion.version, host.server_version)) this.#upgrade(host, signal);
  }

  /** Resolves when nothing is under way. */
  async left(): Promise<void> {
    await this.#visiting;
    await this.#upgrading;
  }

  /** Sends the program when the leader has a newer one. It takes its time, and visits go on meanwhile. */
  #upgrade(host: HostRecord, signal: AbortSignal): void {
    if (this.#upgrading) return;
    const { clock, ids, log } = this.#member.environment;
    const executor = this.#ways.executor(host);
    if (!executor) return;
    const site: Site = {
      executor,
      signal: clock.deadline(hostUploadTimeoutMs, signal),
      log: (message, fields) =>
        log.component("hosts").info(message, { hostId: host.id, ...fields }),
    };
    const { store } = this.#member.opened;
    const upgrade = async () => {
      await ensureProgram(this.#program, `${host.data_dir}/bin`, site);
      const now = { ...host, server_version: buildVersion.version };
      const change = renewHostRecord(store.db, host, now, clock.nowMs());
      await store.commit({ opId: ids.uuid(), guards: [], statements: [change] }, signal);
    };
    this.#upgrading = upgrade()
      .catch((thrown: unknown) => {
        if (signal.aborted) return;
        const fields = { hostId: host.id, error: messageOf(thrown) };
        log.component("hosts").warn("cannot bring the newer program to a host", fields);
      })
      .finally(() => {
        this.#upgrading = undefined;
      });
  }

  async #visit(host: HostRecord, signal: AbortSignal): Promise<void> {
    const { environment } = this.#member;
    const { clock } = environment;
    const driver = distantDriver(host.orchestrator, host.data_dir, clock);
    const executor = this.#ways.executor(host);
    if (!driver || !executor) return;
    const log = environment.log.component("hosts");
    const site: Site = {
      executor,
      signal,
      log: (message, fields) => log.info(message, { hostId: host.id, ...fields }),
    };
    const failures = [
      await this.#try(() => this.#freshen(host, site)),
      await this.#try(() => revive(host, driver, site)),
      await this.#try(() => this.#report(host, driver, site)),
      await this.#try(() => this.#facts(host, site)),
    ];
    signal.throwIfAborted();
    const failure = failures.find((each) => each !== undefined);
    if (failure !== undefined) throw failure;
  }

  /** One part that fails is no reason not to try the next. */
  async #try(part: () => Promise<unknown>): Promise<Error | undefined> {
    try {
      await part();
      return undefined;
    } catch (thrown) {
      if (thrown instanceof Error) return thrown;
      throw thrown;
    }
  }

  async #freshen(host: HostRecord, site: Site): Promise<void> {
    const { display } = this.#member.opened.store;
    const afterMs = await loadClusterSetting(display, "certificates_after_ms").catch(() => 0);
    this.#certificate = await ensureCertificate(this.#member, host, afterMs, site);
    await ensurePassword(this.#member, host, site);
    await ensureStoreUrls(this.#member, host, site);
  }

  async #report(host: HostRecord, driver: Driver, site: Site): Promise<void> {
    // A host that does not answer gets no report, so that it is seen to be unreachable.
    await site.executor.stat("/", site.signal);
    const components = await this.#componentsOf(host, driver, site).look(site.signal);
    await this.#status.write(host.id, components, site.signal);
  }

  #componentsOf(host: HostRecord, driver: Driver, { executor }: Site): HostComponents {
    const made = JSON.stringify(host);
    if (this.#components?.made === made) return this.#components.of;
    const of = distantComponents({
      clock: this.#member.environment.clock,
      driver,
      executor,
      host: factsOf(host),
      storeUrls: () => storeUrls(this.#member),
      certificate: () => this.#certificate,
      installations: () => host.installations,
      onDifference: (ms) => this.#followClock(host, ms, executor),
    });
    this.#components = { made, of };
    return of;
  }

  /** Keepers write their reports in the time of the cluster: they are told how far their host is from it. */
  async #followClock(host: HostRecord, ms: number, executor: Executor): Promise<void> {
    const isNoise = Math.abs(ms) < clusterClockNoiseMs;
    const change = Math.abs(ms - (this.#aheadMs ?? 0));
    const next = isNoise ? 0 : change >= clusterClockNoiseMs ? ms : (this.#aheadMs ?? ms);
    if (next === this.#aheadMs) return;
    const path = join(host.data_dir, clockFileName);
    await executor.put(path, `${JSON.stringify(next)}\n`, { mode: 0o600 });
    this.#aheadMs = next;
  }

  /** Installations and size change while nobody restarts a server there. */
  async #facts(host: HostRecord, { executor, signal }: Site): Promise<void> {
    const { environment, opened } = this.#member;
    const { clock, ids } = environment;
    if (clock.monotonicMs() - this.#factsAtMs < hostFactsIntervalMs) return;
    const { cpus, memoryBytes } = await readHostSize(executor, signal);
    const installations = await findInstallations(executor, host.ssh?.bin_dirs ?? [], signal);
    this.#factsAtMs = clock.monotonicMs();
    const now: HostRecord = {
      ...host,
      cpus,
      memory_bytes: memoryBytes,
      installations: [...installations],
    };
    if (JSON.stringify(now) === JSON.stringify(host)) return;
    const change = renewHostRecord(opened.store.db, host, now, clock.nowMs());
    await opened.store.commit({ opId: ids.uuid(), guards: [], statements: [change] }, signal);
  }

  /** Only what changed is worth a line. */
  #tell(host: HostRecord, failure: string | undefined, signal: AbortSignal): void {
    if (signal.aborted || (failure !== undefined) === this.#failed) return;
    this.#failed = failure !== undefined;
    const log = this.#member.environment.log.component("hosts");
    if (failure === undefined) log.info("the host answers again", { hostId: host.id });
    else log.warn("cannot care for a host", { hostId: host.id, error: failure });
  }
}

/** After a boot, and whenever a keeper died: where no service manager does it. */
async function revive(host: HostRecord, driver: Driver, site: Site): Promise<void> {
  if (driver.capabilities.survivesServerDown) return;
  const { executor, signal, log } = site;
  await driver.supervise({ executor, host: factsOf(host), signal, log }, () => []);
}

/** Whether one version of pgherd comes after another (semver.org, without what follows a hyphen). */
export function isNewer(own: string, other: string): boolean {
  const parts = (version: string) => (version.split("-")[0] ?? "").split(".").map(Number);
  const [a, b] = [parts(own), parts(other)];
  for (const at of [0, 1, 2]) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
