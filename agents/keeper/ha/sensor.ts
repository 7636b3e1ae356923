// What the keeper sees of its own PostgreSQL as a member of a group. Looks at processes, files and the server; changes
// nothing but its own memory of what moved.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import { levelOf, messageOf } from "../../../src/base/errors.ts";
import { groupProbeIntervalMs } from "../../../src/base/limits.ts";
import type { Attempts, Doing, LocalView, PostgresView } from "../../../src/ha/observed.ts";
import type { HaMember } from "../../../src/ha/settings.ts";
import type { Vote } from "../../../src/ha/state.ts";
import { listProcesses, readArguments } from "../../../src/host/process.ts";
import { replicatorName } from "../../../src/postgres/hba.ts";
import {
  type GroupStatus,
  parseGroupStatus,
  selectGroupStatus,
} from "../../../src/postgres/sql/group.ts";
import { membersOf, postmasterAmong, territoryOf } from "../../fencer/territory.ts";
import type { Memory } from "../memory.ts";
import { type ObserveDeps, session } from "../observe.ts";
import type { Leftover, OfflineState, Positions, StandbyMechanics } from "../standby/mechanics.ts";
import type { DiskWatch } from "./disk-watch.ts";
import type { FreshProbe } from "./fresh-probe.ts";
import { PrimaryTracker } from "./primary-tracker.ts";
import { isGated } from "./replication-role.ts";
import { StandbyTracker } from "./standby-tracker.ts";

export interface SensorDeps extends ObserveDeps {
  readonly boot: BootClock;
  readonly mechanics: StandbyMechanics;
  readonly probe: FreshProbe;
  readonly disk: DiskWatch;
  readonly members: () => readonly HaMember[];
  readonly self: string;
}

/** What others know and the view has to show. */
export interface Known {
  readonly doing: Doing | null;
  readonly heldEpoch: number;
  readonly vote: Vote | null;
  readonly attempts: Attempts;
  readonly leavingSinceMs: number | null;
}

interface Look {
  readonly status: GroupStatus;
  readonly positions: Positions;
  readonly atMs: number;
}

export class Sensor {
  readonly #deps: SensorDeps;
  readonly standby = new StandbyTracker();
  readonly primary = new PrimaryTracker();
  #offline: OfflineState | undefined;
  #offlineOf = "";
  #leftover: Leftover | undefined;
  #leftoversKnown = false;
  #look: Look | undefined;
  #changing: { readonly kind: string; readonly sinceMs: number } | undefined;
  #recovering = { what: "", atMs: 0 };

  constructor(deps: SensorDeps) {
    this.#deps = deps;
  }

  /** The stopped data, as it was looked at last. */
  get offline(): OfflineState | undefined {
    return this.#offline;
  }

  /** Positions of the running server, as they were looked at last. */
  get positions(): Positions | undefined {
    return this.#look?.positions;
  }

  /** Something was done to the data: it has to be looked at again. */
  forgetData(): void {
    this.#offlineOf = "";
    this.#leftoversKnown = false;
  }

  /** It is about to run: of the data that stopped nothing is known any more. */
  forgetOffline(): void {
    this.#offlineOf = "";
  }

  /** What was seen of the server is no longer true. */
  forgetServer(): void {
    this.#look = undefined;
  }

  async look(memory: Memory, known: Known): Promise<LocalView> {
    const nowMs = this.#deps.boot.bootMs();
    const postgres = await this.#postgres(memory, nowMs);
    return {
      data: unfinishedBy(known.doing) ?? (await this.#data(memory, postgres)),
      postgres,
      doing: known.doing,
      heldEpoch: known.heldEpoch,
      vote: known.vote,
      attempts: known.attempts,
      disk: this.#deps.disk.state,
      leavingSinceMs: known.leavingSinceMs,
    };
  }

  async #postgres(memory: Memory, nowMs: number): Promise<PostgresView> {
    if (memory.process === "unknown" && !memory.accepting) return this.#unwatched(nowMs);
    if (memory.process === "stopped") {
      this.#forgetRunning();
      return {
        kind: "stopped",
        crash: memory.crash?.text ?? null,
        empty: memory.remaining === 0,
      };
    }
    if (memory.process === "stopping") {
      return { kind: "stopping", sinceMs: this.#since("stopping", nowMs) };
    }
    const hungSinceMs = this.#deps.probe.hungSinceMs;
    if (hungSinceMs !== undefined && memory.readyAtMs !== undefined) {
      return { kind: "hung", sinceMs: hungSinceMs };
    }
    const look = memory.accepting ? await this.#ask(memory, nowMs) : undefined;
    if (!look) return this.#starting(memory, nowMs);
    this.#changing = undefined;
    return look.status.inRecovery ? this.#asStandby(look) : this.#asPrimary(look, memory);
  }

  /** The fencer cannot be asked, and no session is open: does PostgreSQL run at all? */
  #unwatched(nowMs: number): PostgresView {
    const runs = postmasterAmong(membersOf(territoryOf(this.#deps.file))) !== undefined;
    if (!runs) return { kind: "unknown" };
    const sinceMs = this.#since("starting", nowMs);
    return { kind: "starting", sinceMs, progressAtMs: sinceMs };
  }

  #asStandby({ status, positions, atMs }: Look): PostgresView {
    this.primary.forget();
    return this.standby.view(status, positions, this.#deps.members(), atMs);
  }

  #asPrimary({ status, positions, atMs }: Look, memory: Memory): PostgresView {
    this.standby.forget();
    return this.primary.view({
      status,
      positions,
      members: this.#deps.members(),
      self: this.#deps.self,
      systemIdentifier: memory.systemIdentifier ?? "",
      gate: isGated(memory.onDisk?.texts?.["pg_hba.conf"] ?? "") ? "closed" : "open",
      nowMs: atMs,
    });
  }

  #starting(memory: Memory, nowMs: number): PostgresView {
    const what = startupTitle(memory.postmasterPid);
    if (what !== this.#recovering.what) this.#recovering = { what, atMs: nowMs };
    const sinceMs = this.#since("starting", nowMs);
    return { kind: "starting", sinceMs, progressAtMs: Math.max(sinceMs, this.#recovering.atMs) };
  }

  #since(kind: string, nowMs: number): number {
    if (this.#changing?.kind !== kind) this.#changing = { kind, sinceMs: nowMs };
    return this.#changing.sinceMs;
  }

  #forgetRunning(): void {
    this.#look = undefined;
    this.#changing = undefined;
    this.standby.forget();
    this.primary.forget();
  }

  /** Where the server stands; a look that is young enough serves again. */
  async #ask(memory: Memory, nowMs: number): Promise<Look | undefined> {
    const { log, mechanics, boot } = this.#deps;
    const fresh = this.#look && nowMs - this.#look.atMs < groupProbeIntervalMs;
    if (fresh && !memory.hot) return this.#look;
    try {
      const open = await session(this.#deps, memory);
      const [row] = await open.query(selectGroupStatus, [replicatorName]);
      const status = parseGroupStatus(row ?? {});
      const positions = await mechanics.positions(open);
      // Promoted in between: the next look will be of one kind.
      if (positions.inRecovery !== status.inRecovery) return this.#look;
      this.#look = { status, positions, atMs: boot.bootMs() };
    } catch (error) {
      log[levelOf(error)]("PostgreSQL does not say where it stands", { error: messageOf(error) });
      const tooOld = this.#look && nowMs - this.#look.atMs > 5 * groupProbeIntervalMs;
      if (tooOld) this.#look = undefined;
    }
    return this.#look;
  }

  async #data(memory: Memory, postgres: PostgresView): Promise<LocalView["data"]> {
    const { data } = memory;
    if (!data) return { kind: "refused", reason: "not looked at yet" };
    const running = postgres.kind === "standby" || postgres.kind === "primary";
    if (!this.#leftoversKnown && postgres.kind === "stopped") {
      this.#leftover = await this.#deps.mechanics.inspectLeftovers();
      this.#leftoversKnown = true;
    }
    if (this.#leftover && !running) return { kind: "unfinished", of: this.#leftover.kind };
    if (data.kind === "absent") return { kind: "absent", hadData: false };
    if (data.kind === "refused") {
      if (data.vanished) return { kind: "absent", hadData: true };
      return { kind: "refused", reason: data.reason };
    }
    const offline = await this.#inspect(postgres.kind === "stopped");
    if (!offline) return { kind: "refused", reason: "the data directory cannot be read" };
    const { control } = offline;
    return {
      kind: "ready",
      systemIdentifier: data.systemIdentifier,
      timeline: running ? postgres.timeline : (offline.end?.timeline ?? offline.history.timeline),
      end: running ? null : (offline.end?.lsn ?? null),
      role: running ? postgres.kind : offline.standbySignal ? "standby" : "primary",
      clean: control.state === "shut down" || control.state === "shut down in recovery",
      rewindable: (control.checksums || control.walLogHints) && !offline.backupLabel,
    };
  }

  /** Of running data once; of stopped data whenever its control file changed. */
  async #inspect(stopped: boolean): Promise<OfflineState | undefined> {
    const { executor, file, mechanics } = this.#deps;
    const stat = await executor.stat(`${file.layout.data_dir}/global/pg_control`);
    const key = stopped ? `stopped ${stat?.modifiedMs}` : "running";
    if (this.#offline && key === this.#offlineOf) return this.#offline;
    this.#offline = await mechanics.inspectOffline();
    this.#offlineOf = key;
    return this.#offline;
  }
}

/** What the startup process says that it is at, e.g. which segment it recovers. */
function startupTitle(postmaster: number | undefined): string {
  if (postmaster === undefined) return "";
  const startup = listProcesses()
    .filter(({ parentPid }) => parentPid === postmaster)
    .map(({ pid }) => readArguments(pid)[0] ?? "")
    .find((title) => title.includes("startup"));
  return startup ?? "";
}

/** Data that is being made or replaced is nobody's yet, whatever its files say at the moment. */
function unfinishedBy(doing: Doing | null): LocalView["data"] | undefined {
  switch (doing?.kind) {
    case "bootstrap":
    case "clone":
    case "rewind":
      return { kind: "unfinished", of: doing.kind };
    default:
      return undefined;
  }
}
