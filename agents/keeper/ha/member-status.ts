// What a member says of itself, made from its views. Pure.
import type { LocalView } from "../../../src/ha/observed.ts";
import { ownPosition } from "../../../src/ha/position.ts";
import type { LeaseSight, MemberState, MemberStatus } from "../../../src/ha/state.ts";
import { formatLsn } from "../../../src/postgres/lsn.ts";

export interface StatusInput {
  readonly self: string;
  readonly incarnation: string;
  readonly beat: number;
  readonly state: MemberState;
  readonly local: LocalView | undefined;
  readonly sight: LeaseSight | null;
  readonly unfit: string | null;
  readonly pause: string | undefined;
  readonly slots: MemberStatus["slots"];
}

export function memberStatusOf(input: StatusInput): MemberStatus {
  const { local, sight } = input;
  const postgres = local?.postgres;
  const standby = postgres?.kind === "standby" ? postgres : undefined;
  const primary = postgres?.kind === "primary";
  const at = local ? ownPosition(local) : null;
  const data = local?.data;
  const row = sight?.row ?? null;
  return {
    instance_id: input.self,
    incarnation: input.incarnation,
    beat: input.beat,
    state: input.state,
    role: primary ? "primary" : standby ? "standby" : "none",
    system_identifier: data?.kind === "ready" ? data.systemIdentifier : null,
    timeline: at?.timeline ?? null,
    receive_lsn: at ? formatLsn(at.lsn) : null,
    replay_lsn: standby ? formatLsn(standby.replayed) : null,
    streaming: standby?.streaming ?? false,
    upstream: standby?.upstream ?? null,
    seen: row ? { epoch: row.epoch, seq: row.seq } : null,
    vote: local?.vote ?? null,
    unfit: input.unfit,
    leaving: (local?.leavingSinceMs ?? null) !== null,
    ...(input.pause === undefined ? {} : { pause: input.pause }),
    ...(at && input.slots ? { slots: input.slots } : {}),
  };
}
