// Slots of one PostgreSQL: one for every other member wherever this one runs, so that the log that a member needs next
// is there whoever is primary; and the permanent ones of the node. Which of those were kept here is in a file beside
// the data, so that one that leaves the spec is dropped, and slots of others never are.
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import {
  decodingGraceMs,
  logicalSlotAskedMs,
  logicalSlotBesideMs,
  logicalSlotStandbyMs,
  slotCheckIntervalMs,
} from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/log.ts";
import type { PostgresView, PrimaryView, StandbyView } from "../../src/ha/observed.ts";
import type { MemberStatus } from "../../src/ha/state.ts";
import type { Executor } from "../../src/host/executor.ts";
import { parseLsn } from "../../src/postgres/lsn.ts";
import {
  memberSlotName,
  type PermanentSlot,
  slotsOfStandbys,
} from "../../src/postgres/replication.ts";
import {
  logStandbySnapshot,
  parseSlot,
  type SlotRow,
  selectSlots,
} from "../../src/postgres/sql/replication.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import type { Memory } from "./memory.ts";
import type { SqlSession } from "./sql.ts";
import {
  isSame,
  keepPermanent,
  type PermanentChanges,
  type PermanentInput,
} from "./standby/permanent-slots.ts";
import { ensureSlots, type WantedSlot } from "./standby/slots.ts";

export interface SlotsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly executor: Executor;
  readonly file: KeeperFile;
  readonly memory: Memory;
  readonly openDatabase: (database: string, signal: AbortSignal) => Promise<SqlSession>;
}

/** What the other members say; a lone instance has none. */
export interface Others {
  /** How far each of them is. */
  readonly members: readonly MemberStatus[];
  /** The one that is primary. */
  readonly primary: MemberStatus | undefined;
}

export class Slots {
  readonly #deps: SlotsDeps;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #wanted = "";
  #unprotected = "";
  #problems = "";
  /** The primary has logical slots that standbys are to have. */
  #protects = false;
  /**
   * No slot of a time as primary is in the way of copies. Of a standby that an earlier keeper started it is taken for
   * granted, so that nothing changes under it.
   */
  #clear = true;
  #tending = false;
  #kept: readonly string[] | undefined;
  #work: Promise<unknown> = Promise.resolve();

  constructor(deps: SlotsDeps) {
    this.#deps = deps;
  }

  /** Makes the slots be as they should, when it is time. */
  async tend(
    session: SqlSession,
    postgres: Pick<StandbyView, "kind" | "streaming"> | Pick<PrimaryView, "kind">,
    others: Others,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, log, memory } = this.#deps;
    const nowMs = clock.monotonicMs();
    const role = postgres.kind;
    const members = this.#otherMembers();
    const permanent = memory.config?.slots ?? [];
    const key = JSON.stringify([role, members, permanent]);
    const mayClear = postgres.kind === "standby" && postgres.streaming && !this.#clear;
    const lookedLately = key === this.#wanted && nowMs - this.#lookedAtMs < slotCheckIntervalMs;
    if (this.#tending || (lookedLately && !mayClear)) return;
    this.#tending = true;
    this.#lookedAtMs = nowMs;
    const wanted = [
      ...members.map((id) => memberSlot(id, role, others.members)),
      ...permanent.flatMap((slot) => physicalSlot(slot, role, others.primary)),
    ];
    try {
      await this.#alone(async () => {
        const kept = await this.#claim(session, permanent);
        const changes = await ensureSlots(session, wanted, signal);
        const waitMs = role === "primary" ? logicalSlotBesideMs : logicalSlotStandbyMs;
        const primaryAt = others.primary?.slots ?? {};
        const how = { role, wanted: permanent, kept, primaryAt, waitMs, signal };
        if (role === "primary") await this.#helpStandbys(session, permanent, others.members);
        const ofNode = await this.#keep(session, how);
        this.#protects = changes.protects || ofNode.created.length > 0;
        if (role === "standby" && changes.stranded.length === 0) this.#clear = true;
        const owned = new Set(this.#ownOnStandbys ? permanent.map(({ name }) => name) : []);
        const unprotected = changes.unprotected.filter((name) => !owned.has(name));
        this.#tell(unprotected, [...changes.problems, ...ofNode.problems]);
        const created = [...changes.created, ...ofNode.created];
        const dropped = [...changes.dropped, ...ofNode.dropped];
        if (created.length + dropped.length > 0) log.info("slots changed", { created, dropped });
      });
      this.#wanted = key;
    } catch (error) {
      log.warn("slots could not be looked after", { error: messageOf(error) });
    } finally {
      this.#tending = false;
    }
  }

  /** Makes the permanent slots of a primary be exactly these, and reads them back. Throws with what is in the way. */
  async keep(
    session: SqlSession,
    slots: readonly PermanentSlot[],
    signal: AbortSignal,
  ): Promise<string> {
    return this.#alone(async () => {
      const kept = await this.#claim(session, slots);
      const wanted = slots.flatMap((slot) => physicalSlot(slot, "primary", undefined));
      const physical = await ensureSlots(session, [...wanted, ...this.#memberSlots()], signal);
      const how = {
        role: "primary",
        wanted: slots,
        kept,
        primaryAt: {},
        waitMs: logicalSlotAskedMs,
        signal,
      } as const;
      const logical = await this.#keep(session, how);
      const there = this.#deps.memory.slots?.rows ?? [];
      const missing = slots.filter(({ name }) => !there.some((slot) => slot.name === name));
      const problems = [
        ...physical.problems,
        ...logical.problems,
        ...missing.map(({ name }) => `slot ${name} is not there`),
      ];
      if (problems.length > 0) {
        throw new AppError(
          logical.again ? "retryable" : "terminal",
          [...new Set(problems)].join("; "),
        );
      }
      const created = [...physical.created, ...logical.created];
      return [
        ...created.map((name) => `made slot ${name}`),
        ...logical.dropped.map((name) => `dropped slot ${name}`),
        `${there.length} slots are there`,
      ].join("; ");
    });
  }

  /** Up to where the consumers of the permanent slots have everything; undefined when there are none. */
  get positions(): Readonly<Record<string, string>> | undefined {
    const { config, slots } = this.#deps.memory;
    const names = new Set((config?.slots ?? []).map(({ name }) => name));
    if (names.size === 0) return undefined;
    const at = (slots?.rows ?? []).flatMap(({ name, kind, restartLsn, confirmedLsn }) => {
      const lsn = kind === "physical" ? restartLsn : confirmedLsn;
      return names.has(name) && lsn !== undefined ? [[name, lsn] as const] : [];
    });
    return Object.fromEntries(at);
  }

  /** Whether a member that follows may have copies of logical slots. */
  mayCopy(postgres: PostgresView): boolean {
    if (postgres.kind === "stopped" || postgres.kind === "primary") this.#clear = false;
    return this.#clear;
  }

  /**
   * The members that have to have a change before logical decoding shows it: those that stream, and for a moment those
   * that did. Otherwise a consumer could be ahead of the next primary; and one that is away must not stop it.
   */
  decodingWaitsFor(postgres: PostgresView, nowMs: number): readonly string[] {
    if (!this.#protects || postgres.kind !== "primary") return [];
    const streaming = postgres.standbys.filter((one) => one.streaming).map((one) => one.instance);
    const justGone = postgres.missing
      .filter(({ sinceMs }) => nowMs - sinceMs < decodingGraceMs)
      .map(({ instance }) => instance);
    return [...new Set([...streaming, ...justGone])].sort();
  }

  /** A standby can make its slot only where the primary wrote down which transactions run. */
  async #helpStandbys(
    session: SqlSession,
    wanted: readonly PermanentSlot[],
    members: readonly MemberStatus[],
  ): Promise<void> {
    if (!this.#ownOnStandbys) return;
    const standbys = members.filter(({ role }) => role === "standby");
    const lacks = wanted.some(
      ({ type, name }) =>
        type === "logical" && standbys.some(({ slots }) => slots?.[name] === undefined),
    );
    if (lacks) await session.query(logStandbySnapshot);
  }

  /** Standbys make the logical slots themselves. */
  get #ownOnStandbys(): boolean {
    return slotsOfStandbys(this.#deps.memory.config?.postgres_major ?? 0) === "own";
  }

  #otherMembers(): readonly string[] {
    const { memory, file } = this.#deps;
    const members = memory.config?.ha?.members ?? [];
    return members.map(({ instance_id }) => instance_id).filter((id) => id !== file.instance_id);
  }

  #memberSlots(): readonly WantedSlot[] {
    return this.#otherMembers().map((id) => ({ name: memberSlotName(id) }));
  }

  /** A step and the housekeeping would make the same slot twice. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#work.then(work, work);
    this.#work = result.catch(() => undefined);
    return result;
  }

  /**
   * Writes down what is kept here, before it is made: a slot that nobody remembers would never be dropped. One of that
   * name that is not the wanted one is not ours. Answers everything that was written down.
   */
  async #claim(session: SqlSession, wanted: readonly PermanentSlot[]): Promise<readonly string[]> {
    const there = await this.#look(session);
    const ours = wanted.filter((want) => {
      const slot = there.find(({ name }) => name === want.name);
      return slot === undefined || isSame(want, slot);
    });
    const kept = [...new Set([...(await this.#remembered()), ...ours.map(({ name }) => name)])];
    await this.#remember(kept);
    return kept;
  }

  async #keep(
    session: SqlSession,
    how: Omit<PermanentInput, "major" | "openDatabase">,
  ): Promise<PermanentChanges> {
    const { memory, openDatabase } = this.#deps;
    const changes = await keepPermanent(session, {
      ...how,
      major: memory.config?.postgres_major ?? 0,
      openDatabase: (database) => openDatabase(database, how.signal),
    });
    const names = new Set(how.wanted.map(({ name }) => name));
    for (const { name } of await this.#look(session)) names.add(name);
    await this.#remember(how.kept.filter((name) => names.has(name)));
    return changes;
  }

  async #look(session: SqlSession): Promise<readonly SlotRow[]> {
    const rows = (await session.query(selectSlots)).map(parseSlot);
    this.#deps.memory.slots = { rows, atMs: this.#deps.clock.nowMs() };
    return rows;
  }

  #tell(unprotected: readonly string[], problems: readonly string[]): void {
    const { log } = this.#deps;
    if (unprotected.join() !== this.#unprotected && unprotected.length > 0) {
      log.warn("logical slots that no standby has: after a failover their consumers begin anew", {
        slots: unprotected,
      });
    }
    if (problems.join() !== this.#problems && problems.length > 0) {
      log.warn("slots are not as they should be", { problems });
    }
    this.#unprotected = unprotected.join();
    this.#problems = problems.join();
  }

  get #path(): string {
    return `${this.#deps.file.layout.base_dir}/pgherd-slots.json`;
  }

  async #remembered(): Promise<readonly string[]> {
    if (this.#kept) return this.#kept;
    const bytes = await this.#deps.executor.get(this.#path);
    const stored: { readonly kept: readonly string[] } = bytes
      ? JSON.parse(new TextDecoder().decode(bytes))
      : { kept: [] };
    this.#kept = stored.kept;
    return stored.kept;
  }

  async #remember(names: readonly string[]): Promise<void> {
    const kept = [...names].sort();
    if (kept.join() === this.#kept?.join()) return;
    await this.#deps.executor.put(this.#path, JSON.stringify({ kept }), { mode: 0o600 });
    this.#kept = kept;
  }
}

/** On a standby nobody moves a slot by using it. */
function memberSlot(
  id: string,
  role: "primary" | "standby",
  others: readonly MemberStatus[],
): WantedSlot {
  const status = others.find(({ instance_id }) => instance_id === id);
  return placed(memberSlotName(id), role, status?.receive_lsn ?? undefined);
}

function physicalSlot(
  { name, type }: PermanentSlot,
  role: "primary" | "standby",
  primary: MemberStatus | undefined,
): readonly WantedSlot[] {
  return type === "physical" ? [placed(name, role, primary?.slots?.[name])] : [];
}

function placed(name: string, role: "primary" | "standby", at: string | undefined): WantedSlot {
  const confirmedLsn = at === undefined ? undefined : parseLsn(at);
  return role === "primary" || confirmedLsn === undefined ? { name } : { name, confirmedLsn };
}
