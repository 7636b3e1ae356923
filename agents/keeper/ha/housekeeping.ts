// What a running member needs besides decisions: the roles of its standbys, proof of a setting, slots, and the end of
// what a copy replaced. Beside the loop, one round at a time; what fails is done in the next one.
import { messageOf } from "../../../src/base/errors.ts";
import { checkpointTimeoutMs } from "../../../src/base/limits.ts";
import type { LocalView } from "../../../src/ha/observed.ts";
import { session, sqlTarget } from "../observe.ts";
import { ensureBuiltIns } from "../roles.ts";
import type { Others } from "../slots.ts";
import { openSession, type SqlSession } from "../sql.ts";
import { noAttempts } from "./ha-file.ts";
import type { GroupParts, PerformerInput } from "./parts.ts";

export type HousekeepingDeps = Pick<PerformerInput, "deps" | "memory" | "mechanics" | "file"> &
  Pick<GroupParts, "sensor" | "watch">;

export class Housekeeping {
  readonly #deps: HousekeepingDeps;
  #tending = false;
  #rolesMade = false;
  /** The present data streams: what it replaced is gone. */
  #confirmed = false;

  constructor(deps: HousekeepingDeps) {
    this.#deps = deps;
  }

  /** PostgreSQL is about to start; its data may be another. */
  restarted(): void {
    this.#confirmed = false;
  }

  /** One round, unless one is under way or PostgreSQL does not run. Never throws. */
  async tend(local: LocalView, signal: AbortSignal): Promise<void> {
    const { postgres } = local;
    if (this.#tending || (postgres.kind !== "standby" && postgres.kind !== "primary")) return;
    const { deps, memory } = this.#deps;
    this.#tending = true;
    try {
      const open = await session(deps, memory);
      if (postgres.kind === "primary" && !this.#rolesMade) await this.#makeRoles(open);
      await this.#proveSetting(signal);
      await deps.slots.tend(open, postgres, this.#others(), signal);
      const streams = postgres.kind === "standby" && postgres.streaming;
      if (streams && !this.#confirmed) await this.#confirm(signal);
    } catch (error) {
      deps.log.debug("housekeeping failed", { error: messageOf(error) });
    } finally {
      this.#tending = false;
    }
  }

  #others(): Others {
    const { others, sight } = this.#deps.watch;
    const holder = others.get(sight?.row?.holder ?? "")?.status;
    return {
      members: [...others.values()].map(({ status }) => status),
      primary: holder?.role === "primary" ? holder : undefined,
    };
  }

  /** Standbys need theirs before any plan has come to making roles. */
  async #makeRoles(open: SqlSession): Promise<void> {
    const { deps, memory } = this.#deps;
    const made = await ensureBuiltIns(open, memory.config?.postgres_major ?? 0);
    if (made.length > 0) deps.log.info("made the built-in roles");
    this.#rolesMade = true;
  }

  /** A new connection comes after the postmaster told everybody to read; the checkpoint ends after that was read. */
  async #proveSetting(signal: AbortSignal): Promise<void> {
    const { deps, memory, sensor } = this.#deps;
    const setting = sensor.primary.unproven;
    if (!setting) return;
    const open = await openSession(sqlTarget(deps, memory, "postgres"), deps.clock, signal);
    try {
      await open.query("SET statement_timeout = 0");
      await open.query("CHECKPOINT", [], { deadlineMs: checkpointTimeoutMs, signal });
      sensor.primary.proved(setting);
    } finally {
      await open.close();
    }
  }

  async #confirm(signal: AbortSignal): Promise<void> {
    const { mechanics, file } = this.#deps;
    await mechanics.confirmClone(signal);
    const { attempts } = file;
    await file.save({ attempts: { ...attempts, rejoin: noAttempts.rejoin } });
    this.#confirmed = true;
  }
}
