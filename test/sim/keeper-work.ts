// How a model keeper performs actions: one request at a time, one long work at a time, fencing at once.
import { type HaAction, type Performer, perform } from "../../src/ha/action.ts";
import type { Doing } from "../../src/ha/observed.ts";
import type { KeeperCore } from "./keeper-core.ts";
import type { Postgres } from "./postgres.ts";
import { endOf, lsnText, rewound, type Wal } from "./wal.ts";

/** Every node of the simulation has one system. */
const sysid = "7000000000000000001";

export class Work {
  readonly #keeper: KeeperCore;
  doing: Doing | null = null;
  #busy = false;

  constructor(keeper: KeeperCore) {
    this.#keeper = keeper;
  }

  /** The keeper dies: its long work is cut. PostgreSQL goes on with what it was told. */
  cut(): void {
    this.doing = null;
  }

  perform(action: HaAction): void {
    this.#look();
    const urgent = action.kind === "fence" || action.kind === "change_lease";
    if (this.#busy && !urgent) return;
    if (this.doing && !urgent && action.kind !== "cancel") return;
    perform(this.#performer(), action);
  }

  /** Whether the promotion that was ordered has come to an end. */
  #look(): void {
    const { postgres } = this.#keeper.parts;
    if (this.doing?.kind !== "promote") {
      this.#countCrashes();
      return;
    }
    const over = postgres.primary !== null || postgres.server.kind === "stopped";
    if (!over) return;
    if (!postgres.primary) this.#promotionFailed();
    this.doing = null;
    this.#countCrashes();
  }

  #promotionFailed(): void {
    const { disk, nowMs, lease } = this.#keeper;
    disk.failedPromotions.push({ epoch: lease.heldEpoch, atMs: nowMs });
  }

  #countCrashes(): void {
    const { parts, disk } = this.#keeper;
    const { crashes } = parts.postgres;
    if (crashes > this.#keeper.crashesSeen) disk.crashesAtMs.push(this.#keeper.nowMs);
    this.#keeper.crashesSeen = crashes;
  }

  #performer(): Performer<void> {
    const keeper = this.#keeper;
    const { parts, lease } = keeper;
    const { postgres, fencer } = parts;
    const request = (send: (then: () => void) => void) => {
      this.#busy = true;
      send(() => {
        this.#busy = false;
        keeper.read();
      });
    };
    return {
      none: () => {},
      create_lease: ({ beginning }) => request((then) => lease.create(beginning, then)),
      acquire: (action) => {
        keeper.acquiring = true;
        request((then) =>
          lease.acquire(action, () => {
            keeper.acquiring = false;
            then();
          }),
        );
      },
      adopt: ({ row }) => request((then) => lease.adopt(row, then)),
      change_lease: ({ change }) => lease.change(change),
      release: ({ ending }) =>
        request((then) =>
          lease.release(ending, () => {
            then();
            this.#wakeOthers();
          }),
        ),
      ask_failsafe: ({ members, question }) =>
        request((then) => this.#ask(members, question, then)),
      bootstrap: () => this.#bootstrap(),
      clone: ({ source, intent }) => this.#clone(source, intent),
      rewind: ({ source, intent }) => this.#rewind(source, intent),
      promote: ({ epoch, timeline, gate, sync }) => {
        if (!postgres.standby || !lease.arms(epoch)) return;
        const { ownTimelines } = parts.world.build;
        const to = ownTimelines ? timeline : endOf(postgres.data.wal).timeline + 1;
        this.#begin("promote", null);
        postgres.promote({ epoch, timeline: to }, gate, sync);
      },
      checkpoint: () => postgres.checkpoint(),
      vote: ({ version }) => {
        const { standby } = postgres;
        if (!standby || standby.upstream !== null || standby.streaming) return;
        const { timeline, lsn } = endOf(postgres.data.wal);
        const { epoch, seq, nonce } = version;
        keeper.disk.vote = { epoch, seq, nonce, timeline, lsn: lsnText(lsn) };
      },
      fence: () => fencer.kill("fenced by the keeper"),
      restart: ({ intent }) => {
        postgres.stop();
        request((then) => keeper.line.closeIntent(intent, then));
      },
      cancel: () => {
        this.doing = null;
      },
      start_intent: ({ id }) => request((then) => keeper.line.startIntent(id, then)),
      finish_intent: ({ id }) => request((then) => keeper.line.closeIntent(id, then)),
    };
  }

  #begin(kind: Doing["kind"], source: string | null): Doing {
    const { nowMs, sight } = this.#keeper;
    this.doing = {
      kind,
      source,
      epoch: sight?.row?.epoch ?? 0,
      sinceMs: nowMs,
      progressAtMs: nowMs,
    };
    return this.doing;
  }

  /** Runs `end` when the work took its time and nothing ended it. */
  #long(doing: Doing, ms: number, end: () => void): void {
    this.#keeper.later(ms, () => {
      if (this.doing !== doing) return;
      this.doing = null;
      end();
    });
  }

  #bootstrap(): void {
    const { postgres, world } = this.#keeper.parts;
    const { data } = postgres;
    data.kind = "bootstrap";
    data.hadData = true;
    this.#long(this.#begin("bootstrap", null), world.rng.int(300, 2_000), () => {
      const branch = world.newBranch(1, 0);
      data.kind = "ready";
      data.wal = [{ branch, timeline: 1, from: 0, to: 1 }];
      data.systemIdentifier = sysid;
      data.role = "primary";
      data.clean = true;
    });
  }

  #clone(source: string, intent: string | null): void {
    const { postgres, world } = this.#keeper.parts;
    if (!this.#source(source)) {
      this.#failed("clones", "no connection");
      return;
    }
    this.#stopped(this.#begin("clone", source), () => {
      postgres.data.kind = "clone";
      postgres.data.hadData = true;
      this.#long(this.#begin("clone", source), world.rng.int(1_000, 6_000), () => {
        const still = this.#source(source);
        if (!still) this.#failed("clones", "the connection broke");
        else {
          this.#copied(still, still.data.wal);
          this.#answered(intent);
        }
      });
    });
  }

  #rewind(source: string, intent: string | null): void {
    const { postgres, world } = this.#keeper.parts;
    // What was asked for is tried once; a failure counts for nothing.
    if (intent !== null) this.#answered(intent);
    const failed = (why: string) => intent === null && this.#failed("rewinds", why);
    if (!this.#source(source)?.primary) {
      failed("not a primary");
      return;
    }
    this.#stopped(this.#begin("rewind", source), () => {
      postgres.data.kind = "rewind";
      this.#long(this.#begin("rewind", source), world.rng.int(300, 4_000), () => {
        const still = this.#source(source);
        if (!still?.primary) failed("the connection broke");
        else this.#copied(still, rewound(postgres.data.wal, still.data.wal));
      });
    });
  }

  #answered(intent: string | null): void {
    if (intent !== null) this.#keeper.line.closeIntent(intent, () => {});
  }

  /** Goes on when PostgreSQL has stopped. */
  #stopped(doing: Doing, then: () => void): void {
    const { postgres } = this.#keeper.parts;
    if (this.doing !== doing) return;
    if (postgres.server.kind === "stopped") {
      then();
      return;
    }
    postgres.stop();
    this.#keeper.later(100, () => this.#stopped(doing, then));
  }

  #copied(from: Postgres, wal: Wal): void {
    const { data } = this.#keeper.parts.postgres;
    data.wal = wal;
    data.kind = "ready";
    data.role = "standby";
    data.clean = false;
    data.systemIdentifier = from.data.systemIdentifier;
    this.#keeper.rejoin = { rewinds: 0, clones: 0, retryAtMs: 0, error: "" };
  }

  #failed(what: "rewinds" | "clones", error: string): void {
    const { rejoin, nowMs } = this.#keeper;
    this.#keeper.rejoin = { ...rejoin, [what]: rejoin[what] + 1, retryAtMs: nowMs + 1_000, error };
  }

  #source(id: string) {
    const { world } = this.#keeper.parts;
    const source = world.postgresOf(id);
    const { network } = world;
    const cut = network.isCut(id, this.#keeper.id) || network.isCut(this.#keeper.id, id);
    const runs = source?.server.kind === "primary" || source?.server.kind === "standby";
    return source && runs && !cut && !source.host.isStopped("postgres") ? source : undefined;
  }

  #ask(
    members: readonly string[],
    question: Extract<HaAction, { kind: "ask_failsafe" }>["question"],
    then: () => void,
  ): void {
    const keeper = this.#keeper;
    const { world } = keeper.parts;
    const { network } = world;
    const sentAtMs = keeper.nowMs;
    const agreed = new Set<string>();
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      then();
    };
    const count = () => {
      if (over || agreed.size < members.length) return;
      keeper.lease.agreed(sentAtMs, question.epoch);
      end();
    };
    for (const id of members) {
      network.send(keeper.id, id, () => {
        const other = world.keeperOf(id);
        if (!other) return;
        other.parts.host.now("keeper", () => {
          if (!other.alive || !other.answer(question)) return;
          network.send(id, keeper.id, () =>
            keeper.parts.host.now("keeper", () => {
              agreed.add(id);
              count();
            }),
          );
        });
      });
    }
    keeper.later(Math.min(2_000, keeper.settings.retry_ms / 2), end);
    count();
  }

  #wakeOthers(): void {
    const { world } = this.#keeper.parts;
    for (const { instance_id } of world.members) {
      const other = world.keeperOf(instance_id);
      if (other && other !== this.#keeper) {
        world.network.send(this.#keeper.id, instance_id, () => other.wake());
      }
    }
  }
}
