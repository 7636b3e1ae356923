// A model of PostgreSQL on one data directory: what is on disk, what runs, who streams from whom, which commits wait
// for whom. It is as unkind as the real one: a changed setting is in effect for some and not for others until it is
// proven, a crash keeps what was written and not acknowledged, and streaming looks at numbers alone.
import type { Rng } from "../../src/base/rng.ts";
import { isAsynchronous, type SyncSetting, sameSetting } from "../../src/ha/quorum.ts";
import type { Host } from "./host.ts";
import type { Network } from "./network.ts";
import { appended, branched, endOf, streamed, type Wal } from "./wal.ts";

export interface Commit {
  readonly branch: number;
  readonly lsn: number;
  readonly epoch: number;
  /** How it was acknowledged. */
  acknowledged: "no" | "sync" | "async";
}

export interface Data {
  kind: "absent" | "ready" | "clone" | "rewind" | "bootstrap";
  wal: Wal;
  systemIdentifier: string;
  role: "primary" | "standby";
  clean: boolean;
  hadData: boolean;
}

export interface RunningPrimary {
  readonly kind: "primary";
  readonly epoch: number;
  readonly sinceMs: number;
  gate: "open" | "closed";
  gateLsn: number;
  checkpointDone: boolean;
  checkpointing: boolean;
  setting: SyncSetting;
  /** Settings that a commit may meet now; more than one until the change is proven. */
  possible: SyncSetting[];
  provenLsn: number | null;
  readonly replies: Map<string, { readonly flushed: number; readonly atMs: number }>;
  readonly missingSince: Map<string, number>;
  waiting: Commit[];
}

export interface RunningStandby {
  readonly kind: "standby";
  readonly sinceMs: number;
  upstream: string | null;
  streaming: boolean;
  silentSinceMs: number | null;
  promoting: boolean;
  progressAtMs: number;
}

export type Server =
  | { readonly kind: "stopped"; readonly crash: string | null }
  | { readonly kind: "starting"; readonly sinceMs: number }
  | { readonly kind: "stopping"; readonly sinceMs: number }
  | RunningPrimary
  | RunningStandby;

export interface PostgresWorld {
  readonly rng: Rng;
  readonly network: Network;
  readonly pace: number;
  /** The PostgreSQL of another member. */
  find(id: string): Postgres | undefined;
  newBranch(timeline: number, from: number): number;
  acknowledged(by: Postgres, commit: Commit): void;
  becamePrimary(who: Postgres): void;
  /** Builds that are broken on purpose. */
  readonly build: { readonly proves: boolean };
}

/** How long a connection may be silent before its sender is gone. */
const senderTimeoutMs = 10_000;

export class Postgres {
  readonly id: string;
  readonly host: Host;
  readonly #world: PostgresWorld;
  data: Data = {
    kind: "absent",
    wal: [],
    systemIdentifier: "",
    role: "primary",
    clean: false,
    hadData: false,
  };
  server: Server = { kind: "stopped", crash: null };
  /** Grows with every start and end, so that what was under way before does nothing. */
  run = 0;
  crashes = 0;
  /** The next promotion hangs. */
  hangs = false;

  constructor(id: string, host: Host, world: PostgresWorld) {
    this.id = id;
    this.host = host;
    this.#world = world;
  }

  get primary(): RunningPrimary | null {
    return this.server.kind === "primary" ? this.server : null;
  }

  get standby(): RunningStandby | null {
    return this.server.kind === "standby" ? this.server : null;
  }

  get lsn(): number {
    return endOf(this.data.wal).lsn;
  }

  /** Whether it could acknowledge something at this moment. */
  isWritable(): boolean {
    return this.server.kind === "primary" && this.host.up && !this.host.isStopped("postgres");
  }

  // ---- starting, promoting and ending

  startPrimary(epoch: number, gate: "open" | "closed", setting: SyncSetting): void {
    this.#starting((sinceMs) => {
      this.server = this.#asPrimary(epoch, sinceMs, gate, setting);
      this.#world.becamePrimary(this);
    });
  }

  startStandby(upstream: string | null): void {
    this.data.role = "standby";
    this.#starting((sinceMs) => {
      this.server = {
        kind: "standby",
        sinceMs,
        upstream,
        streaming: false,
        silentSinceMs: sinceMs,
        promoting: false,
        progressAtMs: sinceMs,
      };
      this.#receive(this.run);
    });
  }

  /** Comes to an end some time later, or never. */
  promote(
    to: { readonly epoch: number; readonly timeline: number },
    gate: "open" | "closed",
    setting: SyncSetting,
  ): void {
    const { standby, run } = this;
    if (!standby) return;
    standby.promoting = true;
    standby.upstream = null;
    standby.streaming = false;
    if (this.hangs) {
      this.hangs = false;
      return;
    }
    this.#later(this.#world.pace * this.#world.rng.int(50, 400), run, () => {
      const branch = this.#world.newBranch(to.timeline, this.lsn);
      this.data.wal = branched(this.data.wal, branch, to.timeline);
      this.data.role = "primary";
      this.run += 1;
      this.server = this.#asPrimary(to.epoch, this.host.bootMs(), gate, setting);
      this.#world.becamePrimary(this);
    });
  }

  #asPrimary(
    epoch: number,
    sinceMs: number,
    gate: "open" | "closed",
    setting: SyncSetting,
  ): RunningPrimary {
    this.data.clean = false;
    return {
      kind: "primary",
      epoch,
      sinceMs,
      gate,
      gateLsn: this.lsn,
      checkpointDone: false,
      checkpointing: false,
      setting,
      possible: [setting],
      provenLsn: this.lsn,
      replies: new Map(),
      missingSince: new Map(),
      waiting: [],
    };
  }

  #starting(ready: (sinceMs: number) => void): void {
    this.run += 1;
    const { run } = this;
    this.server = { kind: "starting", sinceMs: this.host.bootMs() };
    const slow = this.#world.rng.next() < 0.05 ? 10 : 1;
    this.#later(this.#world.rng.int(100, 1_500) * slow, run, () => ready(this.host.bootMs()));
  }

  /** A fast stop. A primary ends only after those that stream from it have its last record. */
  stop(): void {
    if (this.server.kind === "stopped" || this.server.kind === "stopping") return;
    const { primary } = this;
    this.run += 1;
    const { run } = this;
    if (primary) this.data.wal = appended(this.data.wal);
    const sinceMs = this.host.bootMs();
    const receivers = primary ? this.#attached(primary, 2_000) : [];
    this.server = { kind: "stopping", sinceMs };
    const end = (patience: number): void =>
      this.#later(100, run, () => {
        const behind = receivers.some((id) => {
          const other = this.#world.find(id);
          if (!other?.standby || other.standby.upstream !== this.id) return false;
          return !this.#world.network.isCut(this.id, id) && other.lsn < this.lsn;
        });
        if (behind && patience > 0) {
          for (const id of receivers) this.#serveLast(id);
          end(patience - 1);
          return;
        }
        this.run += 1;
        this.data.clean = true;
        this.server = { kind: "stopped", crash: null };
      });
    end(20);
  }

  #serveLast(id: string): void {
    const other = this.#world.find(id);
    if (other?.standby?.upstream !== this.id || other.host.isStopped("postgres")) return;
    const got = streamed(other.data.wal, this.data.wal, 1_000);
    if (got !== "refused") other.data.wal = got;
  }

  /** Every process is gone at once. */
  kill(why: string): void {
    if (this.server.kind === "stopped") return;
    this.run += 1;
    this.crashes += 1;
    this.server = { kind: "stopped", crash: why };
  }

  /** The same, by power: nobody saw it end. */
  powerOff(): void {
    this.run += 1;
    this.server = { kind: "stopped", crash: null };
  }

  // ---- streaming

  follow(upstream: string | null): void {
    const { standby } = this;
    if (!standby || standby.upstream === upstream || standby.promoting) return;
    standby.upstream = upstream;
    standby.streaming = false;
    standby.silentSinceMs = this.host.bootMs();
  }

  #receive(run: number): void {
    this.#later(this.#world.rng.int(80, 250), run, () => {
      const { standby } = this;
      if (!standby) return;
      if (standby.upstream !== null && !standby.promoting)
        this.#receiveOnce(standby, standby.upstream);
      this.#receive(run);
    });
  }

  #receiveOnce(standby: RunningStandby, upstream: string): void {
    const source = this.#world.find(upstream);
    const got = source?.serves(this.id) ? this.#take(source) : "refused";
    standby.streaming = got !== "refused";
    if (got === "refused" || !source) {
      standby.silentSinceMs ??= this.host.bootMs();
      return;
    }
    standby.silentSinceMs = null;
    if (got !== this.data.wal) standby.progressAtMs = this.host.bootMs();
    this.data.wal = got;
    const flushed = this.lsn;
    const run = source.run;
    this.#world.network.send(this.id, upstream, () =>
      source.host.now("postgres", () => source.#reply(run, this.id, flushed)),
    );
  }

  #take(source: Postgres): Wal | "refused" {
    if (source.data.systemIdentifier !== this.data.systemIdentifier) return "refused";
    return streamed(this.data.wal, source.data.wal, this.#world.rng.int(1, 40));
  }

  /** Whether another member gets log from it. */
  serves(to: string): boolean {
    const runs = this.server.kind === "primary" || this.server.kind === "standby";
    const reachable = this.host.up && !this.host.isStopped("postgres");
    const { network } = this.#world;
    return runs && reachable && !network.isCut(this.id, to) && !network.isCut(to, this.id);
  }

  #reply(run: number, from: string, flushed: number): void {
    const { primary } = this;
    if (!primary || run !== this.run) return;
    primary.replies.set(from, { flushed, atMs: this.host.bootMs() });
    primary.missingSince.delete(from);
    this.#release(primary);
  }

  /** Standbys with a sender that is alive as far as this primary knows. */
  #attached(primary: RunningPrimary, withinMs = senderTimeoutMs): string[] {
    const now = this.host.bootMs();
    const fresh: string[] = [];
    for (const [id, { atMs }] of primary.replies) {
      if (now - atMs <= withinMs) fresh.push(id);
      else if (now - atMs > senderTimeoutMs) this.#detach(primary, id);
    }
    return fresh;
  }

  #detach(primary: RunningPrimary, id: string): void {
    primary.replies.delete(id);
    if (!primary.missingSince.has(id)) primary.missingSince.set(id, this.host.bootMs());
  }

  /** What pg_stat_replication shows. */
  attached(): { readonly id: string; readonly flushed: number; readonly ageMs: number }[] {
    const { primary } = this;
    if (!primary) return [];
    return this.#attached(primary).map((id) => {
      const reply = primary.replies.get(id);
      const ageMs = this.host.bootMs() - (reply?.atMs ?? 0);
      return { id, flushed: reply?.flushed ?? 0, ageMs };
    });
  }

  // ---- commits

  /** One transaction; undefined where none can be begun. */
  commit(): Commit | undefined {
    const { primary } = this;
    const branch = this.data.wal.at(-1)?.branch;
    if (!primary || primary.gate === "closed" || branch === undefined) return undefined;
    this.data.wal = appended(this.data.wal);
    const { epoch } = primary;
    const commit: Commit = { branch, lsn: this.lsn, epoch, acknowledged: "no" };
    primary.waiting.push(commit);
    this.#release(primary);
    return commit;
  }

  /** Users give up: what they wrote stays, and nobody told them that it did. */
  cancelWaits(): void {
    if (this.primary) this.primary.waiting = [];
  }

  setSync(setting: SyncSetting): void {
    const { primary, run } = this;
    if (!primary || sameSetting(primary.setting, setting)) return;
    primary.setting = setting;
    primary.possible = [...primary.possible, setting];
    primary.provenLsn = this.#world.build.proves ? null : 0;
    this.#later(this.#world.rng.int(50, 800), run, () => {
      if (primary.setting !== setting) return;
      primary.possible = [setting];
      primary.provenLsn = this.#world.build.proves ? this.lsn : 0;
      this.#release(primary);
    });
    this.#release(primary);
  }

  checkpoint(): void {
    const { primary, run } = this;
    if (!primary || primary.checkpointing) return;
    primary.checkpointing = true;
    this.#later(this.#world.rng.int(50, 2_000), run, () => {
      primary.checkpointDone = true;
    });
  }

  #release(primary: RunningPrimary): void {
    if (primary.waiting.length === 0) return;
    const left: Commit[] = [];
    for (const commit of primary.waiting) {
      const by = primary.possible.find((setting) => this.#satisfies(primary, setting, commit.lsn));
      if (by) {
        commit.acknowledged = isAsynchronous(by) ? "async" : "sync";
        this.#world.acknowledged(this, commit);
      } else left.push(commit);
    }
    primary.waiting = left;
  }

  #satisfies(primary: RunningPrimary, setting: SyncSetting, lsn: number): boolean {
    if (setting.blocked) return false;
    const have = setting.standbys.filter((id) => (primary.replies.get(id)?.flushed ?? 0) >= lsn);
    return have.length >= setting.count;
  }

  #later(ms: number, run: number, act: () => void): void {
    this.host.after("postgres", ms, () => {
      if (run === this.run) act();
    });
  }
}
