// The newest plan of every database that this host was asked to work on, kept on disk: what an outdated worker, or
// a request that was delayed for long, still asks for is refused.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../base/errors.ts";
import { planFencesMax } from "../base/limits.ts";
import type { PlanMark } from "../host/executor.ts";
import { hasCode } from "../host/process.ts";

const Fence = Type.Object({
  generation: Type.Integer(),
  epoch: Type.Integer(),
  createdAtMs: Type.Integer(),
});
type Fence = Static<typeof Fence>;
const FencesFile = Type.Record(Type.String(), Fence);

/** Not "terminal" for the caller's plan alone: whoever gets it must not go on with that plan. */
export class OutdatedPlan extends AppError {
  constructor(message: string) {
    super("terminal", message);
    this.name = "OutdatedPlan";
  }
}

export class PlanFences {
  readonly #path: string;
  readonly #fences: Map<string, Fence>;

  /** `path`: the file, made when needed. Throws a terminal AppError when it is not what was written there. */
  constructor(path: string) {
    this.#path = path;
    this.#fences = load(path);
  }

  /** Lets a plan pass unless a newer one was seen; throws OutdatedPlan then. What passed is on disk when this returns. */
  pass(plan: PlanMark): void {
    const { databaseId, generation, epoch, createdAtMs } = plan;
    const seen = this.#fences.get(databaseId);
    if (seen && epoch < seen.epoch) {
      const text = `worker ${epoch} is outdated on this host: worker ${seen.epoch} took over`;
      throw new OutdatedPlan(`database ${databaseId}: ${text}`);
    }
    if (seen && createdAtMs === seen.createdAtMs && generation < seen.generation) {
      const text = `plan ${generation} is outdated on this host: it saw plan ${seen.generation}`;
      throw new OutdatedPlan(`database ${databaseId}: ${text}`);
    }
    const next: Fence = { generation, epoch, createdAtMs };
    if (seen && Value.Equal(seen, next)) return;
    // Made anew, so that the oldest come first.
    this.#fences.delete(databaseId);
    this.#fences.set(databaseId, next);
    for (const oldest of this.#fences.keys()) {
      if (this.#fences.size <= planFencesMax) break;
      this.#fences.delete(oldest);
    }
    this.#save();
  }

  #save(): void {
    mkdirSync(dirname(this.#path), { recursive: true });
    const text = JSON.stringify(Object.fromEntries(this.#fences));
    writeFileSync(`${this.#path}.tmp`, text, { mode: 0o600, flush: true });
    renameSync(`${this.#path}.tmp`, this.#path);
  }
}

function load(path: string): Map<string, Fence> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (Value.Check(FencesFile, value)) return new Map(Object.entries(value));
  } catch (thrown) {
    if (hasCode(thrown, "ENOENT")) return new Map();
    if (!(thrown instanceof SyntaxError)) throw thrown;
  }
  throw new AppError("terminal", `${path} is not what was written there`);
}
