// Which standby should become primary when a person or a plan asks for it: healthy, allowed to, and with the most of
// the primary's changes. Keepers decide for themselves again; this picks one, or says why there is none.
import type { LeaseRow } from "../ha/lease.ts";
import type { HaTags } from "../ha/settings.ts";
import type { MemberStatus } from "../ha/state.ts";
import { parseLsn } from "../postgres/lsn.ts";
import type { InstanceReport } from "../spec/instance-config.ts";

/** What is known of one standby. */
export interface Standby {
  readonly instanceId: string;
  /** Absent = its keeper never reported. */
  readonly report?: InstanceReport;
  /** The report is not old. */
  readonly isFresh: boolean;
  readonly member?: MemberStatus;
  readonly tags: HaTags;
}

/** A standby with what speaks against it; nothing = it can take over now, without losing anything it should have. */
export interface Judged {
  readonly instanceId: string;
  readonly problem?: string;
  /** Bytes behind the primary, as far as anybody knows. */
  readonly lagBytes?: bigint;
}

export interface Yardstick {
  /** Of the node: says how far the primary was when it was written. */
  readonly lease: LeaseRow | undefined;
  readonly maximumLagBytes: number;
  /** Asked for in an emergency: neither lag nor the state of its replication counts. */
  readonly anyLag: boolean;
}

/** The standbys, best first; those with a problem after all others. */
export function judge(standbys: readonly Standby[], by: Yardstick): readonly Judged[] {
  return standbys
    .map((standby) => ({ judged: judgeOne(standby, by), standby }))
    .toSorted(
      (a, b) =>
        Number(a.judged.problem !== undefined) - Number(b.judged.problem !== undefined) ||
        timelineOf(b.standby) - timelineOf(a.standby) ||
        compare(positionOf(b.standby), positionOf(a.standby)) ||
        priorityOf(b.standby) - priorityOf(a.standby) ||
        (a.judged.instanceId < b.judged.instanceId ? -1 : 1),
    )
    .map(({ judged }) => judged);
}

function judgeOne(standby: Standby, by: Yardstick): Judged {
  const { instanceId } = standby;
  const lagBytes = lagOf(standby, by.lease?.optime);
  const problem = problemOf(standby, lagBytes, by);
  return {
    instanceId,
    ...(problem === undefined ? {} : { problem }),
    ...(lagBytes === undefined ? {} : { lagBytes }),
  };
}

function problemOf(
  { report, isFresh, member, tags }: Standby,
  lagBytes: bigint | undefined,
  { maximumLagBytes, anyLag, lease }: Yardstick,
): string | undefined {
  if (!report) return "its keeper has never reported";
  if (!isFresh) return "its keeper does not report";
  if (report.postgres_state !== "running") return `PostgreSQL is ${report.postgres_state}`;
  if (tags.nofailover === true) return "it has the tag nofailover";
  if (member?.leaving) return "it is about to stop";
  if (member?.unfit) return member.unfit;
  if (anyLag) return undefined;
  if (report.replication_state !== "streaming") return "it does not stream from the primary";
  const certain = lagBytes !== undefined && spokeAfter(member, lease);
  if (certain && lagBytes > BigInt(maximumLagBytes)) {
    return `it is ${lagBytes} bytes behind`;
  }
  return undefined;
}

/**
 * Both speak every few seconds. What a standby said before the primary did is not its lag but what was written in
 * between; the primary's keeper, which sees both at one moment, judges once more.
 */
function spokeAfter(member: MemberStatus | undefined, lease: LeaseRow | undefined): boolean {
  const seen = member?.seen;
  if (!seen || !lease) return false;
  return seen.epoch > lease.epoch || (seen.epoch === lease.epoch && seen.seq >= lease.seq);
}

function lagOf(standby: Standby, primaryLsn: string | null | undefined): bigint | undefined {
  const primary = primaryLsn ? parseLsn(primaryLsn) : undefined;
  const own = positionOf(standby);
  if (primary === undefined || own === undefined) return undefined;
  return primary > own ? primary - own : 0n;
}

function positionOf({ member, report }: Standby): bigint | undefined {
  const text = member?.receive_lsn ?? report?.receive_lsn ?? report?.lsn;
  return text ? parseLsn(text) : undefined;
}

function timelineOf({ member, report }: Standby): number {
  return member?.timeline ?? report?.timeline ?? 0;
}

function priorityOf({ tags }: Standby): number {
  return typeof tags.failover_priority === "number" ? tags.failover_priority : 1;
}

function compare(a: bigint | undefined, b: bigint | undefined): number {
  const [one, other] = [a ?? -1n, b ?? -1n];
  return one < other ? -1 : one > other ? 1 : 0;
}
