import { announcedMs } from "../../src/base/limits.ts";
import type { Decision } from "../../src/ha/action.ts";
import { decide } from "../../src/ha/decide.ts";
import { answerFailsafe } from "../../src/ha/failsafe.ts";
import { type LeaseRow, type LeaseVersion, sameVersion } from "../../src/ha/lease.ts";
import type { LocalView } from "../../src/ha/observed.ts";
import type { HaSettings } from "../../src/ha/settings.ts";
import type {
  FailsafeQuestion,
  GroupView,
  LeaseSight,
  MemberSight,
  MemberStatus,
} from "../../src/ha/state.ts";
import { statusOf } from "../../src/ha/status.ts";
import type { Disk, KeeperCore, KeeperParts } from "./keeper-core.ts";
import { enforceGoal } from "./keeper-goal.ts";
import { Lease } from "./keeper-lease.ts";
import { observe } from "./keeper-observe.ts";
import { Work } from "./keeper-work.ts";
import { Line } from "./line.ts";
import type { StoreState } from "./store.ts";

/** Times of an earlier boot mean nothing. */
const forgotten = { promise: null, failedPromotions: [], crashesAtMs: [] };

export class Keeper implements KeeperCore {
  readonly id: string;
  readonly parts: KeeperParts;
  readonly disk: Disk = {
    vote: null,
    promise: null,
    boot: -1,
    highest: { epoch: 0, seq: -1 },
    failedPromotions: [],
    crashesAtMs: [],
  };
  /** Grows with every start; callbacks of an earlier one do nothing. */
  life = 0;
  alive = false;
  incarnation = "";
  sight: LeaseSight | null = null;
  state: StoreState | null = null;
  readonly others = new Map<string, MemberSight>();
  lease: Lease;
  work: Work;
  line: Line;
  leavingSinceMs: number | null = null;
  settings: HaSettings;
  rejoin = { rewinds: 0, clones: 0, retryAtMs: 0, error: "" };
  decision: Decision | null = null;
  crashesSeen = 0;
  /** A request to take the lease is under way. */
  acquiring = false;
  #beat = 0;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #reading = false;

  constructor(id: string, parts: KeeperParts) {
    this.id = id;
    this.parts = parts;
    this.settings = parts.world.settings();
    this.line = new Line(this);
    this.lease = new Lease(this);
    this.work = new Work(this);
  }

  get nowMs(): number {
    return this.parts.host.bootMs();
  }

  start(): void {
    const { world, host, postgres } = this.parts;
    this.life += 1;
    this.alive = true;
    this.incarnation = `${this.id}.${this.life}`;
    this.sight = null;
    this.state = null;
    this.others.clear();
    this.settings = world.settings();
    this.line = new Line(this);
    this.lease = new Lease(this);
    this.work = new Work(this);
    this.acquiring = false;
    this.crashesSeen = postgres.crashes;
    this.#reading = false;
    if (this.disk.boot !== host.boots)
      Object.assign(this.disk, structuredClone(forgotten), { boot: host.boots });
    this.rejoin = { rewinds: 0, clones: 0, retryAtMs: 0, error: "" };
    this.#every(
      () => world.pace * world.rng.int(150, 350),
      () => this.#cycle(),
    );
    this.#every(
      () => world.pace * world.rng.int(200, 500),
      () => this.read(),
    );
    this.#every(
      () => this.settings.loop_ms,
      () => this.lease.renew(),
    );
  }

  crash(): void {
    this.life += 1;
    this.alive = false;
    this.work.cut();
  }

  /** Runs later on this host's clock, unless the keeper died meanwhile. */
  later(ms: number, act: () => void): void {
    const { life } = this;
    this.parts.host.after("keeper", ms, () => {
      if (life === this.life && this.alive) act();
    });
  }

  #every(ms: () => number, act: () => void): void {
    this.later(ms(), () => {
      act();
      this.#every(ms, act);
    });
  }

  /** A hint that something changed. */
  wake(): void {
    if (this.alive) this.parts.host.now("keeper", () => this.alive && this.read());
  }

  read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.line.read(this.settings.retry_ms / 2, () => {
      this.#reading = false;
    });
  }

  /** Takes over what a read showed. `since`: the newest lease that was known when it was sent. */
  saw(state: StoreState, since: { readonly epoch: number; readonly seq: number }): void {
    const { row } = state;
    const { highest } = this.disk;
    if (isOlder(row, highest)) {
      if (isOlder(row, since) && this.sight) this.sight = { ...this.sight, wentBack: true };
      return;
    }
    const now = this.nowMs;
    const { heldAs, seenAtMs: toldAtMs = 0 } = this.sight ?? {};
    if (heldAs && row && now - toldAtMs < announcedMs && sameVersion(row, heldAs)) return;
    const old = this.sight?.row ?? null;
    const same = row !== null && old !== null && sameVersion(row, old);
    const seenAtMs = same && this.sight ? this.sight.seenAtMs : now;
    this.sight = { row, readAtMs: now, seenAtMs, wentBack: false };
    this.state = state;
    if (row) this.disk.highest = { epoch: row.epoch, seq: row.seq };
    for (const status of state.members.values()) this.heard(status);
    this.lease.noticed(row);
  }

  heard(status: MemberStatus): void {
    if (status.instance_id === this.id) return;
    const known = this.others.get(status.instance_id)?.status;
    const newer = !known || known.incarnation !== status.incarnation || known.beat < status.beat;
    const older = known && lifeOf(known.incarnation) > lifeOf(status.incarnation);
    if (newer && !older) this.others.set(status.instance_id, { status, heardAtMs: this.nowMs });
  }

  announce(row: LeaseRow, heldAs: LeaseVersion): void {
    const { world } = this.parts;
    for (const { instance_id } of world.members) {
      const other = world.keeperOf(instance_id);
      if (!other || other.id === this.id) continue;
      world.network.send(this.id, instance_id, () =>
        other.parts.host.now("keeper", () => other.alive && other.heardRelease(row, heldAs)),
      );
    }
  }

  /** Every member believes it here, not only the successor. */
  heardRelease(row: LeaseRow, heldAs: LeaseVersion): void {
    if (isOlder(row, { ...this.disk.highest, seq: this.disk.highest.seq + 1 })) return;
    if (!this.sight || this.sight.wentBack) return;
    this.disk.highest = { epoch: heldAs.epoch, seq: heldAs.seq };
    this.sight = { ...this.sight, row, heldAs, seenAtMs: this.nowMs };
    this.#cycle();
  }

  answer(question: FailsafeQuestion): boolean {
    const options = { acquiring: this.acquiring, nowMs: this.nowMs };
    const answer = answerFailsafe(this.view(), question, options);
    if (!answer.accepted) return false;
    this.disk.promise = answer.promise;
    return true;
  }

  view(): GroupView {
    const { world, initialPrimary } = this.parts;
    return {
      self: this.id,
      incarnation: this.incarnation,
      members: world.members,
      initialPrimary,
      settings: this.settings,
      lease: this.sight,
      own: this.lease.view(),
      history: this.state?.epochs ?? [],
      others: this.others,
      intents: this.state?.intents ?? [],
      promise: this.disk.promise,
      wallMs: world.wallMs(),
    };
  }

  local(): LocalView {
    return observe(this);
  }

  #cycle(): void {
    const { world } = this.parts;
    this.settings = world.settings();
    const local = this.local();
    const view = this.view();
    const decision = decide(view, local, this.nowMs);
    this.decision = decision;
    world.decided(this, decision);
    if (!local.doing) enforceGoal(this, decision.goal);
    this.work.perform(decision.action);
    this.#say(view, local, decision);
  }

  #say(view: GroupView, local: LocalView, decision: Decision): void {
    const { world } = this.parts;
    if (this.nowMs - this.#saidAtMs < 400) return;
    this.#saidAtMs = this.nowMs;
    this.#beat += 1;
    const status = statusOf({ view, local, decision, beat: this.#beat, nowMs: this.nowMs });
    for (const { instance_id } of world.members) {
      const other = world.keeperOf(instance_id);
      if (!other || other === this) continue;
      world.network.send(this.id, instance_id, () =>
        other.parts.host.now("keeper", () => other.alive && other.heard(status)),
      );
    }
    if (this.#beat % 4 === 0) this.line.saveMember(status);
  }
}

function isOlder(row: LeaseRow | null, than: Pick<LeaseVersion, "epoch" | "seq">): boolean {
  if (!row) return than.epoch > 0;
  return row.epoch < than.epoch || (row.epoch === than.epoch && row.seq < than.seq);
}

function lifeOf(incarnation: string): number {
  return Number(incarnation.split(".").at(-1));
}
