// Going on without the store: a holder that every member agrees with stays primary, because nobody who may take the
// lease will. One refusal or one silence is enough to end it; a majority would not do, since the one member that
// did not promise may be the one that reaches the store.
import type { Decision } from "./action.ts";
import { promisedUntilMs } from "./lease.ts";
import type { FailsafePromise, FailsafeQuestion, GroupView } from "./state.ts";

export type FailsafeAnswer =
  | { readonly accepted: true; readonly promise: FailsafePromise }
  | { readonly accepted: false; readonly why: string };

/**
 * What a member says to a holder that cannot reach the store. `acquiring`: a request of this member to take the lease
 * was sent and its fate is not known. The promise has to be on disk before the answer leaves; it replaces an older one
 * only where it lasts longer or is for a newer epoch.
 */
export function answerFailsafe(
  view: GroupView,
  question: FailsafeQuestion,
  { acquiring, nowMs }: { readonly acquiring: boolean; readonly nowMs: number },
): FailsafeAnswer {
  const no = (why: string): FailsafeAnswer => ({ accepted: false, why });
  if (question.holder === view.self) return no("this is the instance that asks");
  if (acquiring) return no("taking the lease");
  if (view.own) return no(`holding the lease of epoch ${view.own.row.epoch}`);
  const row = view.lease?.row;
  if (row && row.epoch > question.epoch) return no(`epoch ${row.epoch} has begun`);
  if (row && row.epoch === question.epoch && row.holder !== question.holder) {
    return no(`the lease of epoch ${row.epoch} is not held by ${question.holder}`);
  }
  if (view.promise && view.promise.epoch > question.epoch) {
    return no(`epoch ${view.promise.epoch} was promised already`);
  }
  const untilMs = promisedUntilMs(nowMs, question.ttl_ms);
  return { accepted: true, promise: { holder: question.holder, epoch: question.epoch, untilMs } };
}

/** Whether a decision sends a request whose fate decides about promises. */
export function isAcquiring({ action }: Decision): boolean {
  return action.kind === "acquire" || action.kind === "adopt";
}
