// What a member says about itself, to the store and to those who ask it.
import { formatLsn } from "../postgres/lsn.ts";
import type { Decision } from "./action.ts";
import { unfitness } from "./election.ts";
import type { LocalView } from "./observed.ts";
import { situationOf } from "./situation.ts";
import type { GroupView, MemberStatus } from "./state.ts";

export interface Saying {
  readonly view: GroupView;
  readonly local: LocalView;
  readonly decision: Decision;
  /** Grows with every status that this keeper makes. */
  readonly beat: number;
  readonly nowMs: number;
}

/** The status of this member. */
export function statusOf({ view, local, decision, beat, nowMs }: Saying): MemberStatus {
  const s = situationOf(view, local, nowMs);
  const { standby, position } = s;
  const row = view.lease?.row ?? view.own?.row ?? null;
  return {
    instance_id: view.self,
    incarnation: view.incarnation,
    beat,
    state: decision.state,
    role: s.primary ? "primary" : standby ? "standby" : "none",
    system_identifier: local.data.kind === "ready" ? local.data.systemIdentifier : null,
    timeline: position?.timeline ?? null,
    receive_lsn: position ? formatLsn(position.lsn) : null,
    replay_lsn: standby ? formatLsn(standby.replayed) : null,
    streaming: standby?.streaming ?? false,
    upstream: standby?.upstream ?? null,
    seen: row ? { epoch: row.epoch, seq: row.seq } : null,
    vote: local.vote,
    unfit: unfitness(s),
    leaving: local.leavingSinceMs !== null,
  };
}
