// What a step asks of all keepers of a node: one intent of the step's own id, so that asking twice is asking once,
// followed to its end.
import { AppError } from "../base/errors.ts";
import type { IntentPayload } from "../ha/state.ts";
import {
  abandonIntent,
  insertIntent,
  loadIntent,
  type StoredIntent,
  withdrawIntent,
} from "../store/ha-intents.ts";
import type { StepDeps } from "./step-deps.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

export interface Wish {
  readonly node: string;
  /** How long the keepers may work on it. */
  readonly timeoutMs: number;
  /** Made when it is asked, not when a resumed step finds that it was. */
  readonly payload: () => Promise<IntentPayload>;
}

/** Whether an earlier run of the step asked already. */
export async function wasAsked(run: StepRun, { store }: StepDeps): Promise<boolean> {
  return (await loadIntent(store.db, idOf(run))) !== undefined;
}

/** Asks, unless that was done, and waits until it is done. Throws with the keepers' words when it is not. */
export async function askKeepers(run: StepRun, deps: StepDeps, wish: Wish): Promise<void> {
  if (!(await wasAsked(run, deps))) await ask(run, deps, wish);
  await follow(run, deps, idOf(run));
}

async function ask(
  run: StepRun,
  deps: StepDeps,
  { node, timeoutMs, payload }: Wish,
): Promise<void> {
  const { store, clock, ids } = deps;
  const wanted = await payload();
  const nowMs = clock.nowMs();
  const intent = {
    id: idOf(run),
    databaseId: run.plan.databaseId,
    nodeName: node,
    payload: wanted,
    expiresAtMs: nowMs + timeoutMs,
  };
  const outcome = await store.commit({
    opId: ids.uuid(),
    guards: [run.guard],
    statements: [insertIntent(store.db, intent, nowMs)],
  });
  if (outcome.ok) return;
  throw new AppError(
    "terminal",
    outcome.conflict.startsWith("constraint")
      ? `another change of the primary of ${node} is under way`
      : `the plan is outdated (${outcome.conflict})`,
  );
}

function idOf(run: StepRun): string {
  return `${run.taskId}:${run.step.id}`;
}

/** Waits for the keepers' answer; a step that ends before takes back what nobody has begun. */
async function follow(run: StepRun, deps: StepDeps, id: string): Promise<void> {
  const { store, clock } = deps;
  let last: StoredIntent | undefined;
  try {
    await waitUntil({
      clock,
      signal: run.signal,
      missing: () => `the keepers have not finished: ${last?.answer ?? last?.state ?? "unknown"}`,
      look: async () => {
        const intent = await loadIntent(store.display, id);
        if (intent?.answer && intent.answer !== last?.answer) run.log(intent.answer);
        last = intent;
        return endOf(intent, clock.nowMs());
      },
    });
  } catch (error) {
    await store.commit({
      opId: deps.ids.uuid(),
      guards: [run.guard],
      statements: [
        run.signal.aborted
          ? withdrawIntent(store.db, id, "withdrawn", clock.nowMs())
          : abandonIntent(store.db, id, "its time was over", clock.nowMs()),
      ],
    });
    throw error;
  }
}

/** true when it was done; throws when it was not. */
function endOf(intent: StoredIntent | undefined, nowMs: number): true | undefined {
  if (!intent) throw new AppError("terminal", "the request to the keepers has vanished");
  switch (intent.state) {
    case "done":
      return true;
    case "failed":
    case "canceled":
      throw new AppError("terminal", intent.answer ?? `it was ${intent.state}`);
    default:
      if (intent.expiresAtMs === null || nowMs < intent.expiresAtMs) return undefined;
      throw new AppError("terminal", "the keepers did not do it in time");
  }
}
