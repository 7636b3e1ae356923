// One keeper put together: its links to store and fencer, its loop and its REST API around one memory.

import { must } from "../../src/base/assert.ts";
import type { BootClock } from "../../src/base/boot-clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import { messageOf } from "../../src/base/errors.ts";
import { leaveTimeoutMs, restartTimeoutMs } from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/log.ts";
import type { Rng } from "../../src/base/rng.ts";
import type { Executor } from "../../src/host/executor.ts";
import type { InstanceConfig, KeeperFile } from "../../src/spec/instance-config.ts";
import type { LeaseStore } from "../../src/store/ha-lease.ts";
import type { HaStore } from "../../src/store/ha-store.ts";
import { removeLeftovers } from "./bootstrap.ts";
import { CertificateWatch } from "./certificates.ts";
import { FencerLink } from "./fencer-link.ts";
import { Group } from "./ha/group.ts";
import {
  currentReport,
  isBusy,
  type LoopDeps,
  onPostgresExit,
  renderer,
  runLoop,
  takeFiles,
} from "./loop.ts";
import { emptyMemory, type Memory } from "./memory.ts";
import { sqlTarget } from "./observe.ts";
import { postgresState, replicationState, roleOf, statusIsFresh } from "./report.ts";
import { RestApi, type RestOutcome } from "./rest.ts";
import { performOnGroup } from "./rest-intents.ts";
import type { RestView } from "./rest-json.ts";
import type { RestCommand } from "./rest-messages.ts";
import { Slots } from "./slots.ts";
import { openSession } from "./sql.ts";
import { StoreLink } from "./store-link.ts";
import { Wake } from "./wake.ts";

export interface KeeperDeps {
  readonly boot: BootClock;
  readonly leases: LeaseStore;
  readonly nonce: () => string;
  readonly file: KeeperFile;
  readonly store: HaStore;
  readonly executor: Executor;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly incarnation: string;
  readonly systemUsers: readonly string[];
  /** Runs beside the loop; absent = this keeper shares its writes with nobody. */
  readonly relay?: { run(signal: AbortSignal): Promise<void> };
}

export class Keeper {
  readonly #deps: KeeperDeps;
  readonly #memory: Memory = emptyMemory();
  readonly #loop: LoopDeps;
  readonly #fencer: FencerLink;
  readonly #store: StoreLink;
  readonly #rest: RestApi;
  #group: Group | undefined;
  #ended: AbortSignal | undefined;
  #scheduledRestart: { readonly schedule: string; readonly abort: AbortController } | undefined;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
    const { clock, rng, log, file } = deps;
    const alarm = new Wake(clock);
    const outbox = new Wake(clock);
    const wake = () => alarm.wake();
    this.#store = new StoreLink({
      store: deps.store,
      clock,
      log: log.component("store"),
      busy: () => isBusy(this.#loop, this.#memory),
      onChange: () => {
        this.#group?.lookNow();
        wake();
      },
      onGlance: (news) => this.#group?.glanced(news),
      outbox,
    });
    this.#fencer = new FencerLink({
      clock,
      rng,
      log: log.component("fencer"),
      socket: file.layout.fencer_socket,
      onChange: wake,
      onExit: (exit) => onPostgresExit(this.#loop, this.#memory)(exit),
    });
    this.#loop = {
      ...deps,
      alarm,
      wake,
      startedAtMs: clock.monotonicMs(),
      fencer: this.#fencer,
      store: this.#store,
      certificates: new CertificateWatch(deps, file.layout.certificate_dir),
      slots: new Slots({
        ...deps,
        log: log.component("slots"),
        memory: this.#memory,
        openDatabase: (database, signal) =>
          openSession(sqlTarget(this.#loop, this.#memory, database), clock, signal),
      }),
      group: () => this.#group,
      commitsAlone: () => this.#group?.commitsAlone ?? false,
      beforeStart: async () => this.#group?.beforeStart(),
      render: renderer(deps, this.#memory),
      publish: () => this.#store.publish(currentReport(this.#loop, this.#memory)),
      onAccepted: (config) => this.#remember(config),
      onConfig: (config) => this.#followConfig(config),
    };
    this.#rest = new RestApi({
      log: log.component("rest"),
      view: () => this.#view(),
      nowMs: () => clock.nowMs(),
      peer: async (request, body) => this.#group?.answer(request, body),
      command: (command) => this.#command(command),
    });
  }

  /** Runs until the signal aborts; then lets go of everything. */
  async run(signal: AbortSignal): Promise<void> {
    this.#ended = signal;
    const links = [
      this.#store.run(signal),
      this.#fencer.run(signal),
      this.#deps.relay?.run(signal),
    ];
    await this.#recall(signal);
    removeLeftovers(this.#loop, signal).catch((error) =>
      this.#deps.log.warn("leftovers stay", { error: messageOf(error) }),
    );
    await Promise.all([runLoop(this.#loop, this.#memory, signal), ...links]);
    this.#scheduledRestart?.abort.abort();
    await this.#memory.session?.close();
    await this.#rest.stop();
  }

  /** Gives the lease away and ends PostgreSQL in order, if it is a member of a group; resolves when that is done. */
  async leave(): Promise<void> {
    const group = this.#group;
    if (!group) return;
    const { clock } = this.#deps;
    const endMs = clock.monotonicMs() + leaveTimeoutMs;
    group.hostEnds = true;
    this.#loop.wake();
    while (clock.monotonicMs() < endMs) {
      if (this.#memory.process === "stopped" && !group.renewer.own) return;
      await clock.sleep(20);
    }
    this.#deps.log.warn("did not leave in time");
  }

  get #copy(): string {
    return `${this.#deps.file.layout.config_dir}/keeper-config.json`;
  }

  get #acceptedCopy(): string {
    return `${this.#deps.file.layout.config_dir}/keeper-config-accepted.json`;
  }

  #remember(config: InstanceConfig): void {
    const { executor, log } = this.#deps;
    executor
      .put(this.#acceptedCopy, JSON.stringify(config), { mode: 0o600 })
      .catch((error) => log.warn("the copy was not written", { error: messageOf(error) }));
  }

  /** The configuration of an earlier run serves until the store answers. */
  async #recall(signal: AbortSignal): Promise<void> {
    const bytes = await this.#deps.executor.get(this.#copy, { signal });
    if (!bytes || this.#memory.config) return;
    const config: InstanceConfig = JSON.parse(new TextDecoder().decode(bytes));
    this.#memory.config = config;
    const accepted = await this.#deps.executor.get(this.#acceptedCopy, { signal });
    if (accepted) this.#memory.accepted = JSON.parse(new TextDecoder().decode(accepted));
    await this.#joinGroup(config);
    takeFiles(this.#deps, this.#memory, config);
    await this.#rest.follow(config);
  }

  /** A node that ever was a group stays one. */
  async #joinGroup({ ha }: InstanceConfig): Promise<void> {
    if (!ha) return;
    if (this.#group) {
      this.#group.follow(ha);
      return;
    }
    const { log } = this.#deps;
    const group = await Group.open(
      { ...this.#deps, ...this.#loop, log: log.component("ha") },
      this.#memory,
      ha,
    );
    this.#group = group;
    const signal = must(this.#ended, "signal of a running keeper");
    group.run(signal).catch((error) => log.fatal("the group failed", { error: messageOf(error) }));
  }

  async #followConfig(config: InstanceConfig): Promise<void> {
    await this.#joinGroup(config);
    await this.#rest.follow(config);
    const text = JSON.stringify(config);
    await this.#deps.executor.put(this.#copy, text, { mode: 0o600 });
  }

  #view(): RestView {
    const memory = this.#memory;
    const { clock, file } = this.#deps;
    const nowMs = clock.monotonicMs();
    const status = statusIsFresh(memory, nowMs) ? memory.status : undefined;
    const seen = this.#store.seenAtMs;
    return {
      state: postgresState(memory, nowMs),
      role: roleOf(memory, nowMs),
      scope: `${file.database_id}:${file.node_name}`,
      name: file.instance_id,
      config: memory.config,
      server: status && {
        ...status,
        replicationState: status.inRecovery ? replicationState(status.receiverStatus) : undefined,
      },
      systemIdentifier: memory.systemIdentifier,
      pendingRestart: memory.pending,
      storeSeenAt: seen === undefined ? undefined : Math.floor(seen / 1_000),
      cycleAgeMs: nowMs - memory.cycleAtMs,
      scheduledRestart: this.#scheduledRestart && { schedule: this.#scheduledRestart.schedule },
      appliedGeneration: memory.appliedGeneration,
      ...(this.#group ? { group: this.#group.restView() } : {}),
    };
  }

  async #command(command: RestCommand): Promise<RestOutcome | undefined> {
    switch (command.kind) {
      case "reload":
        this.#memory.reloadAsked = true;
        this.#loop.wake();
        return undefined;
      case "restart": {
        const failed = await this.#restart(command.reason);
        return failed === undefined ? undefined : { status: 503, body: failed };
      }
      case "schedule_restart":
        this.#schedule(command.schedule, command.atMs);
        return undefined;
      case "unschedule_restart":
        this.#scheduledRestart?.abort.abort();
        this.#scheduledRestart = undefined;
        return undefined;
      default:
        return performOnGroup(
          {
            clock: this.#deps.clock,
            store: this.#deps.leases,
            newId: this.#deps.nonce,
            group: () => this.#group?.restView(),
            signal: must(this.#ended, "signal of a running keeper"),
          },
          command,
        );
    }
  }

  /** Resolves when PostgreSQL was restarted, or with why not. */
  async #restart(reason: string): Promise<string | undefined> {
    const { clock } = this.#deps;
    const memory = this.#memory;
    const before = memory.status?.startedAt;
    memory.restartReason = reason;
    this.#loop.wake();
    const endMs = clock.monotonicMs() + restartTimeoutMs;
    while (clock.monotonicMs() < endMs) {
      await clock.sleep(20);
      const done = memory.restartReason === undefined && memory.doing === undefined;
      if (!done) continue;
      if (memory.accepting && memory.status?.startedAt !== before) return undefined;
      if (memory.process === "stopped") return memory.crash?.text ?? "restart failed";
    }
    memory.restartReason = undefined;
    return "restart failed: PostgreSQL does not accept connections yet";
  }

  #schedule(schedule: string, atMs: number): void {
    const { clock, log } = this.#deps;
    const abort = new AbortController();
    this.#scheduledRestart = { schedule, abort };
    clock
      .sleep(atMs - clock.nowMs(), abort.signal)
      .then(() => {
        this.#scheduledRestart = undefined;
        return this.#restart(`scheduled for ${schedule}`);
      })
      .then((failed) => failed && log.error("scheduled restart failed", { error: failed }))
      .catch((error) => log.info("scheduled restart dropped", { reason: messageOf(error) }));
  }
}
