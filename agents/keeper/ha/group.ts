import { statfs } from "node:fs/promises";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import {
  freshProbeBelievedMs,
  hotMs,
  leaseGlanceFreshMs,
  leaseLookHotMs,
  leaseLookLateMs,
  leaseLookMs,
  leaseLookOwnMs,
  leaseLookQuietMs,
  leaseOverdueMs,
  newestKeptIntervalMs,
} from "../../../src/base/limits.ts";
import type { Decision, HaAction, RunGoal } from "../../../src/ha/action.ts";
import { decide } from "../../../src/ha/decide.ts";
import { unfitness } from "../../../src/ha/election.ts";
import { answerFailsafe } from "../../../src/ha/failsafe.ts";
import { isUnheard } from "../../../src/ha/intents.ts";
import type { LocalView } from "../../../src/ha/observed.ts";
import { isAsynchronous } from "../../../src/ha/quorum.ts";
import type { HaSettings } from "../../../src/ha/settings.ts";
import { dueIntent, situationOf } from "../../../src/ha/situation.ts";
import type { FailsafeQuestion, GroupView, HaIntent } from "../../../src/ha/state.ts";
import { commitsAlone } from "../../../src/ha/sync.ts";
import { formatLsn } from "../../../src/postgres/lsn.ts";
import { slotLogBound } from "../../../src/postgres/recovery.ts";
import type { InstanceHa } from "../../../src/spec/instance-config.ts";
import type { Memory } from "../memory.ts";
import type { RestGroup } from "../rest-group.ts";
import type { StandbyMechanics } from "../standby/mechanics.ts";
import { createStandbyMechanics } from "../standby/standby.ts";
import { Wake } from "../wake.ts";
import { DiskWatch } from "./disk-watch.ts";
import { byKeeper } from "./fence.ts";
import { FencerArm } from "./fencer-arm.ts";
import { FollowCheck } from "./follow-check.ts";
import { FreshProbe } from "./fresh-probe.ts";
import { HaFile } from "./ha-file.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Housekeeping } from "./housekeeping.ts";
import { watchDeadline } from "./last-resort.ts";
import { LeaseWatch, type Newest, type Released } from "./lease-watch.ts";
import { LongWork } from "./long-work.ts";
import type { GroupDeps, GroupParts } from "./parts.ts";
import { PeerSeal } from "./peer-seal.ts";
import { type FailsafeAnswer, type PeerAnswer, Peers, type Told } from "./peers.ts";
import { createPerformer } from "./performer.ts";
import { Renewer } from "./renewer.ts";
import { partOf } from "./replication-role.ts";
import { Sensor } from "./sensor.ts";

/** Only begun here: the rules of one instance go on towards the goal meanwhile, a gate opens during a checkpoint. */
const BESIDE = { checkpoint: true, change_lease: true };
const HANDOVERS = { switchover: true, failover: true };

export class Group implements GroupParts {
  readonly #deps: GroupDeps;
  readonly #memory: Memory;
  readonly #file: HaFile;
  readonly #mechanics: StandbyMechanics;
  readonly arm: FencerArm;
  readonly watch: LeaseWatch;
  readonly renewer: Renewer;
  readonly sensor: Sensor;
  readonly work: LongWork;
  readonly peers: Peers;
  readonly probe: FreshProbe;
  readonly #disk: DiskWatch;
  readonly #follow: FollowCheck;
  readonly #housekeeping: Housekeeping;
  readonly #watchAlarm: Wake;
  readonly #heartbeat: Heartbeat;
  readonly #perform: (action: HaAction, signal: AbortSignal) => Promise<void>;
  #ha: InstanceHa;
  #decision: Decision | undefined;
  #local: LocalView | undefined;
  #heldEpoch = 0;
  /** The last goal in which PostgreSQL ran: what a restart goes back to. */
  #runGoal: RunGoal = { kind: "wait", why: "it never ran" };
  /** The machine is going down. */
  hostEnds = false;
  #leavingSinceMs: number | null = null;
  #failed:
    | { readonly kind: string; readonly count: number; readonly retryAtMs: number }
    | undefined;
  #keptAtMs = Number.NEGATIVE_INFINITY;
  /** Boot clock: when this host's copy of the store was seen last. */
  #glancedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(deps: GroupDeps, memory: Memory, ha: InstanceHa, file: HaFile) {
    const { clock, boot, log } = deps;
    this.#deps = deps;
    this.#memory = memory;
    this.#ha = ha;
    this.#file = file;
    const self = deps.file.instance_id;
    const onChange = () => deps.wake();
    const settings = () => this.#ha.settings;
    const members = () => this.#ha.members;
    this.#watchAlarm = new Wake(clock);
    this.arm = new FencerArm({ clock, boot, log, fencer: deps.fencer });
    this.watch = new LeaseWatch(
      {
        clock,
        boot,
        log: log.component("lease"),
        store: deps.leases,
        self,
        settings,
        pauseMs: () => this.#watchPauseMs(),
        alarm: this.#watchAlarm,
        onChange,
        onNewest: (newest) => this.#keepNewest(newest),
      },
      file.newest,
    );
    this.renewer = new Renewer({
      clock,
      boot,
      log: log.component("lease"),
      store: deps.leases,
      self,
      incarnation: deps.incarnation,
      nonce: deps.nonce,
      settings,
      optime: () => this.#optime(),
      arm: (epoch, deadlineMs) => this.arm.arm(epoch, deadlineMs),
      onChange: () => this.#onLease(),
      onRow: (row, askedAtMs) => this.watch.show(row, askedAtMs),
      alarm: new Wake(clock),
    });
    this.#mechanics = createStandbyMechanics({
      ...deps,
      log: log.component("standby"),
      server: () => ({
        binDir: memory.config?.bin_dir ?? "",
        major: memory.config?.postgres_major ?? 0,
      }),
    });
    const mechanics = this.#mechanics;
    this.probe = new FreshProbe({
      clock,
      boot,
      socketPath: () => this.#socketPath(),
      postmasterPid: () => memory.postmasterPid,
      believedMs: () => Math.min(this.#ha.settings.loop_ms / 2, freshProbeBelievedMs),
      onChange,
    });
    const { base_dir } = deps.file.layout;
    this.#disk = new DiskWatch({ clock, log, directory: base_dir, onChange });
    this.sensor = new Sensor({
      ...deps,
      mechanics,
      probe: this.probe,
      disk: this.#disk,
      members,
      self,
    });
    this.#follow = new FollowCheck({
      boot,
      log: log.component("standby"),
      mechanics,
      members,
      positions: () => this.sensor.positions,
      onStranded: (why) => {
        this.sensor.standby.stranded = why;
      },
      onChange,
    });
    this.#housekeeping = new Housekeeping({
      deps,
      memory,
      file,
      mechanics,
      sensor: this.sensor,
      watch: this.watch,
    });
    this.work = new LongWork({ boot, log: log.component("work"), onChange });
    this.peers = new Peers({
      clock,
      log: log.component("peers"),
      seal: new PeerSeal(deps.file.layout.certificate_dir, clock),
      self,
      members,
      nonce: deps.nonce,
      onWake: (told) => this.#onWake(told),
      onFailsafe: (question) => this.#onFailsafe(question),
      status: () => this.#heartbeat.status(),
      lease: () => this.watch.seen,
    });
    this.#heartbeat = new Heartbeat({
      clock,
      log,
      store: deps.leases,
      loopMs: () => this.#ha.settings.loop_ms,
      facts: () => ({
        self,
        incarnation: deps.incarnation,
        state: this.#decision?.state ?? "unknown",
        local: this.#local,
        sight: this.watch.sight,
        unfit: this.#unfit(),
        pause: this.#pause,
        slots: deps.slots.positions,
      }),
      wakeOthers: (signal) => this.wakeOthers(signal),
    });
    this.#perform = createPerformer({
      deps,
      memory,
      group: this,
      mechanics,
      file,
      ha: () => this.#ha,
    });
  }

  static async open(deps: GroupDeps, memory: Memory, ha: InstanceHa): Promise<Group> {
    const { executor, boot, file } = deps;
    const { blocks, bsize } = await statfs(file.layout.base_dir);
    memory.slotLogBytes = slotLogBound(blocks * bsize);
    return new Group(deps, memory, ha, await HaFile.open({ executor, boot, file }));
  }

  /** The level that the rules of one instance work towards. While long work is under way they keep still. */
  get goal(): RunGoal {
    if (this.work.doing) return { kind: "wait", why: `${this.work.doing.kind} is under way` };
    return this.#decision?.goal ?? { kind: "wait", why: "the group has not been looked at yet" };
  }

  get decision(): Decision | undefined {
    return this.#decision;
  }

  get settings(): HaSettings {
    return this.#ha.settings;
  }

  /** What the keeper commits now need not wait for standbys. */
  get commitsAlone(): boolean {
    return this.#local !== undefined && commitsAlone(this.renewer.own, this.#local.postgres);
  }

  /** Whether things are under way, so that every look has to be a new one. */
  get hot(): boolean {
    const { sight } = this.watch;
    const { ttl_ms } = this.#ha.settings;
    const stale = sight && this.#deps.boot.bootMs() - sight.seenAtMs > ttl_ms + hotMs;
    if (stale && !this.renewer.own) return false;
    const state = this.#decision?.state;
    if (state === "promoting" || state === "candidate" || state === "draining") return true;
    if (this.watch.intents.some(({ payload }) => payload.kind in HANDOVERS)) return true;
    const lease = this.watch.sight?.row;
    return lease?.phase === "draining" || lease?.phase === "released";
  }

  /** Everything that must not wait for the loop; until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.arm.adopt();
    await Promise.all([
      this.watch.run(signal),
      this.renewer.run(signal),
      this.probe.run(signal),
      this.#disk.run(signal),
      watchDeadline(
        {
          ...this.#deps,
          own: () => this.renewer.own,
          kill: () => byKeeper(this.#deps),
          onKilled: () => this.#onKilled(),
        },
        signal,
      ),
      this.#heartbeat.run(signal),
    ]);
    await this.work.cancel();
  }

  follow(ha: InstanceHa): void {
    this.#ha = ha;
  }

  /** The instance should end in order; false = it should no longer. */
  leave(leaving: boolean): void {
    if (leaving || this.hostEnds) this.#leavingSinceMs ??= this.#deps.boot.bootMs();
    else this.#leavingSinceMs = null;
  }

  /** Every epoch, and of one epoch a position now and then: a renewal is not worth a write to disk. */
  #keepNewest(newest: Newest): void {
    const { boot, log } = this.#deps;
    const nowMs = boot.bootMs();
    const known = this.#file.newest;
    if (known?.epoch === newest.epoch && nowMs - this.#keptAtMs < newestKeptIntervalMs) return;
    this.#keptAtMs = nowMs;
    this.#file
      .save({ newest })
      .catch((error) => log.warn("not written down", { error: messageOf(error) }));
  }

  /** Something in the store changed. */
  lookNow(): void {
    this.#watchAlarm.wake();
  }

  /** This host's copy of the store was seen; by it nothing is decided, it only tells when to look. */
  glanced(news: boolean): void {
    this.#glancedAtMs = this.#deps.boot.bootMs();
    if (news) this.#watchAlarm.wake();
  }

  /** PostgreSQL ended by itself. */
  async noteCrash(): Promise<void> {
    const { attempts } = this.#file;
    const nowMs = this.#deps.boot.bootMs();
    const crashesAtMs = [...attempts.crashesAtMs.filter((at) => nowMs - at < 600_000), nowMs];
    await this.#file.save({ attempts: { ...attempts, crashesAtMs } });
  }

  /**
   * At the last moment before a start: a primary needs the lease that the goal names, and a fencer that knows its
   * deadline; everything else starts as a standby. Answers the epoch that the fencer has to know when it starts it.
   */
  async beforeStart(): Promise<number | undefined> {
    const goal = this.work.doing?.kind === "restart" ? this.#runGoal : this.goal;
    if (goal.kind === "standby") {
      await this.renewer.whenFree(async () => {
        if (this.arm.armed) await this.arm.disarm();
      });
      await this.#mechanics.prepareStandby();
    } else if (goal.kind === "primary") {
      const { own } = this.renewer;
      const holds = own?.row.epoch === goal.epoch && own.deadlineMs > this.#deps.boot.bootMs();
      if (!holds || this.arm.epoch !== goal.epoch) {
        throw new AppError("retryable", "the lease has to be held before PostgreSQL starts");
      }
      const timeline = this.sensor.offline?.history.timeline;
      if (timeline !== goal.timeline) {
        const text = `the data is on timeline ${timeline}, not on ${goal.timeline} of this epoch`;
        throw new AppError("retryable", text);
      }
      if (goal.gate === "closed" || !isAsynchronous(goal.sync)) {
        this.sensor.primary.startedSynchronous();
      }
      await this.#mechanics.preparePrimary();
    } else {
      throw new AppError("retryable", goal.why);
    }
    this.#housekeeping.restarted();
    this.#follow.forget();
    this.probe.reset();
    this.sensor.forgetOffline();
    return goal.kind === "primary" ? goal.epoch : undefined;
  }

  /** Looks, decides, does one thing. Answers whether something was done that the next decision should wait for. */
  async cycle(signal: AbortSignal): Promise<boolean> {
    const memory = this.#memory;
    // Of before the look: what is asked for is judged by what was seen after it was asked.
    const { intents } = this.watch;
    await this.#askTheSilent(intents, signal);
    memory.hot = this.hot;
    const local = await this.sensor.look(memory, {
      doing: this.work.doing,
      heldEpoch: this.#heldEpoch,
      vote: this.#file.vote,
      attempts: this.#file.attempts,
      leavingSinceMs: this.#leavingSinceMs,
    });
    this.#local = local;
    const acted = await this.#decideOn(local, intents, signal);
    memory.racing = this.#racing();
    return acted;
  }

  /** Whoever is to take over may live although its row in the store is old. */
  async #askTheSilent(intents: readonly HaIntent[], signal: AbortSignal): Promise<void> {
    const view = { ...this.#view(), intents };
    if (!this.renewer.own || !isUnheard({ view, nowMs: this.#deps.boot.bootMs() })) return;
    for (const status of await this.peers.statuses(signal)) this.watch.tell(status);
  }

  async #decideOn(
    local: LocalView,
    intents: readonly HaIntent[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { boot, log } = this.#deps;
    const memory = this.#memory;
    const decision = decide({ ...this.#view(), intents }, local, boot.bootMs());
    const before = this.#decision;
    this.#decision = decision;
    const { goal } = decision;
    if (goal.kind === "primary" || goal.kind === "standby") this.#runGoal = goal;
    if (before?.sentence !== decision.sentence || before.rule !== decision.rule) {
      const { state, rule, action } = decision;
      const said = { state, rule, goal: goal.kind, action: action.kind };
      log.info(decision.sentence, said);
    }
    const allowed = await this.#follow.limit(decision.goal);
    memory.part = partOf(allowed, this.sensor.offline?.control.settings) ?? memory.part;
    this.#follow.look(local, decision.goal, signal);
    const { slots } = this.#deps;
    memory.decodingWaitsFor = slots.decodingWaitsFor(local.postgres, boot.bootMs());
    memory.copySlots = slots.mayCopy(local.postgres);
    const leaving = this.#leavingSinceMs !== null;
    this.#heartbeat.tell(`${decision.state} ${this.#file.vote?.nonce} ${leaving} ${this.#pause}`);
    await this.#disarm(local);
    void this.#housekeeping.tend(local, signal);
    if (decision.action.kind === "none") return false;
    const acted = await this.#try(decision.action, signal);
    // Nothing about PostgreSQL changed by it, and every moment counts: what follows needs no other look.
    if (acted && decision.action.kind === "acquire" && this.renewer.own) {
      return this.#decideOn({ ...local, heldEpoch: this.#heldEpoch }, intents, signal);
    }
    return acted && !(decision.action.kind in BESIDE);
  }

  /** What failed is tried again soon, but not in every cycle; a fence is. */
  async #try(action: HaAction, signal: AbortSignal): Promise<boolean> {
    const { boot, log } = this.#deps;
    const failed = this.#failed;
    if (failed?.kind === action.kind && boot.bootMs() < failed.retryAtMs) return false;
    try {
      await this.#perform(action, signal);
      this.#failed = undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      const count = failed?.kind === action.kind ? failed.count + 1 : 1;
      const pauseMs = action.kind === "fence" ? 50 : Math.min(100 * 2 ** Math.min(count, 6), 5_000);
      this.#failed = { kind: action.kind, count, retryAtMs: boot.bootMs() + pauseMs };
      log.error("what was decided failed", { action: action.kind, count, error: messageOf(error) });
    }
    return true;
  }

  /** Whether this member acts next by what it sees itself; what others do is told to it. */
  #racing(): boolean {
    const state = this.#decision?.state;
    if (this.work.doing) return false;
    return this.hot && (state === "candidate" || state === "promoting" || state === "draining");
  }

  /** Id of the pause that is kept. */
  get #pause(): string | undefined {
    const { intents } = this.watch;
    return dueIntent({ intents, wallMs: this.#deps.clock.nowMs() }, "pause")?.id;
  }

  /** What the REST API answers from. */
  restView(): RestGroup {
    return {
      view: this.#view(),
      history: this.watch.history,
      state: this.#decision?.state ?? "unknown",
      bootMs: this.#deps.boot.bootMs(),
    };
  }

  /** A message of another member; undefined when the request is not one. */
  answer(request: Request, body: string): Promise<PeerAnswer | undefined> {
    return this.peers.answer(request, body);
  }

  /** The lease changed hands or phase by this member: others should look now. */
  async wakeOthers(signal: AbortSignal, released?: Released): Promise<void> {
    await this.peers
      .wake(signal, released)
      .catch((error) =>
        this.#deps.log.debug("members were not woken", { error: messageOf(error) }),
      );
  }

  #view(): GroupView {
    const { incarnation, clock, file } = this.#deps;
    return {
      self: file.instance_id,
      incarnation,
      members: this.#ha.members,
      initialPrimary: this.#ha.initial_primary,
      settings: this.#ha.settings,
      lease: this.watch.sight,
      own: this.renewer.own,
      history: this.watch.history,
      others: this.watch.others,
      intents: this.watch.intents,
      promise: this.#file.promise,
      wallMs: clock.nowMs(),
    };
  }

  #unfit(): string | null {
    if (!this.#local) return "it has not looked at itself yet";
    return unfitness(situationOf(this.#view(), this.#local, this.#deps.boot.bootMs()));
  }

  /** Nobody holds the lease here, and PostgreSQL cannot write: the deadline would only end a standby. */
  async #disarm(local: LocalView): Promise<void> {
    if (!this.arm.armed || this.renewer.own || this.renewer.taking) return;
    const { kind } = local.postgres;
    const harmless = kind === "standby" || (kind === "stopped" && local.postgres.empty);
    if (harmless) await this.renewer.whenFree(() => this.arm.disarm());
  }

  #onLease(): void {
    const { own } = this.renewer;
    if (own) this.#heldEpoch = Math.max(this.#heldEpoch, own.row.epoch);
    this.#heartbeat.beatNow();
    this.#deps.publish();
    this.#deps.wake();
  }

  /** The keeper ended PostgreSQL by itself. */
  #onKilled(): void {
    this.#memory.ending = true;
    this.sensor.forgetServer();
    this.sensor.forgetData();
    this.#deps.wake();
  }

  #onWake({ status, lease, released }: Told): void {
    if (status) this.watch.tell(status);
    if (lease) this.watch.hearLease(lease);
    if (released) this.watch.hearRelease(released);
    this.#watchAlarm.wake();
    this.#deps.wake();
  }

  /** A member that agrees keeps away from the lease until the promise is over, also after a restart. */
  async #onFailsafe(question: FailsafeQuestion): Promise<FailsafeAnswer> {
    if (this.#local?.postgres.kind === "primary") {
      return { accepted: false, why: "Running as a leader" };
    }
    const { taking } = this.renewer;
    const nowMs = this.#deps.boot.bootMs();
    const answer = answerFailsafe(this.#view(), question, { acquiring: taking, nowMs });
    if (!answer.accepted) return answer;
    await this.#file.save({ promise: answer.promise });
    this.#deps.wake();
    return { accepted: true, why: "" };
  }

  /** The newest known flush position of a primary. */
  #optime(): string | undefined {
    const { postgres } = this.#local ?? {};
    return postgres?.kind === "primary" ? formatLsn(postgres.flushed) : undefined;
  }

  #watchPauseMs(): number {
    const { loop_ms } = this.#ha.settings;
    const { sight } = this.watch;
    const nowMs = this.#deps.boot.bootMs();
    const unchangedMs = sight ? nowMs - sight.seenAtMs : 0;
    if (this.hot && !this.renewer.own) return leaseLookHotMs;
    // Whoever glances at the host's copy hears of what is new; what does not come is not seen there.
    const overdue = unchangedMs > loop_ms + Math.min(loop_ms / 2, leaseOverdueMs);
    const glances = nowMs - this.#glancedAtMs < leaseGlanceFreshMs;
    if (sight && glances && !overdue) {
      return Math.max(leaseLookMs, Math.min(loop_ms / 2, leaseLookQuietMs));
    }
    if (this.renewer.own) return Math.min(loop_ms, leaseLookOwnMs);
    return unchangedMs > 2 * loop_ms ? leaseLookLateMs : leaseLookMs;
  }

  /** The socket to ask; undefined while PostgreSQL is not expected to answer. */
  #socketPath(): string | undefined {
    const memory = this.#memory;
    const { config } = memory;
    if (memory.process !== "running" || memory.readyAtMs === undefined || !config) return undefined;
    const port = memory.serverPort ?? config.port;
    if (port === null) throw new AppError("bug", "a member of a group has a port");
    return `${this.#deps.file.layout.run_dir}/.s.PGSQL.${port}`;
  }
}
