// Whether own data can follow another member as it is; if not, why, and what would help. Asks the other member itself
// and trusts neither numbers nor what was said of it earlier.

import { AppError } from "../../../src/base/errors.ts";
import { historyFileBytesMax } from "../../../src/base/limits.ts";
import type { ControlData } from "../../../src/postgres/controldata.ts";
import { formatLsn, minLsn, parseLsn } from "../../../src/postgres/lsn.ts";
import { selectLogFile, selectUpstream } from "../../../src/postgres/sql/replication.ts";
import {
  describeKinship,
  historyFileName,
  kinshipOf,
  parseHistory,
  type TimelineHistory,
  type TimelinePosition,
} from "../../../src/postgres/timeline-history.ts";
import type { SqlSession } from "../sql.ts";
import { readControl } from "./control.ts";
import type { Judgement, Peer, UpstreamState } from "./mechanics.ts";
import { forgetFormerPrimary } from "./offline.ts";
import { withPeer } from "./peer-session.ts";
import type { StandbyDeps } from "./places.ts";
import { hasOwnMajor } from "./programs.ts";
import { compareTails, hasLogAt, type TailVerdict } from "./wal-tail.ts";

export type OwnData = TimelinePosition & { readonly history: TimelineHistory };

interface Case {
  readonly deps: StandbyDeps;
  readonly session: SqlSession;
  readonly own: OwnData;
  readonly control: ControlData;
  readonly upstream: UpstreamState;
}

/** See `StandbyMechanics.judge`. */
export async function judge(
  deps: StandbyDeps,
  peer: Peer,
  own: OwnData,
  signal: AbortSignal,
): Promise<Judgement> {
  const control = await readControl(deps, deps.file.layout.data_dir);
  return withPeer(deps, peer, signal, async (session) => {
    const upstream = await readUpstream(session);
    if (upstream.systemIdentifier !== control.systemIdentifier) {
      const why = `${peer.instanceId} is of system ${upstream.systemIdentifier}, this data of ${control.systemIdentifier}`;
      return { kind: "foreign", why };
    }
    if (upstream.major !== deps.server().major) {
      return { kind: "foreign", why: `${peer.instanceId} runs PostgreSQL ${upstream.major}` };
    }
    const judgement = await judgeKin({ deps, session, own, control, upstream });
    if (judgement.kind === "follow") await forgetFormerPrimary(deps);
    return judgement;
  });
}

/** What the server on the other side of the session is. */
export async function readUpstream(session: SqlSession): Promise<UpstreamState> {
  const [row] = await session.query(selectUpstream);
  if (!row) throw new AppError("retryable", "the other server gave no answer");
  const inRecovery = row.in_recovery === true;
  const received = typeof row.received_timeline === "number" ? row.received_timeline : 0;
  const timeline = Math.max(Number(row.timeline), received, Number(row.checkpoint_timeline));
  const versionNumber = Number(row.version_num);
  return {
    systemIdentifier: String(row.system_identifier),
    inRecovery,
    major: Math.floor(versionNumber / 10_000),
    versionNumber,
    history: await readRemoteHistory(session, timeline),
    checkpointed: !inRecovery && Number(row.checkpoint_timeline) === timeline,
    endLsn: parseLsn(String(row.end_lsn)) ?? 0n,
  };
}

async function readRemoteHistory(session: SqlSession, timeline: number): Promise<TimelineHistory> {
  if (timeline === 1) return { timeline, ancestors: [] };
  const name = historyFileName(timeline);
  const [row] = await session.query(selectLogFile, [name, "0", String(historyFileBytesMax)]);
  const text = typeof row?.bytes === "string" ? Buffer.from(row.bytes, "hex").toString() : "";
  const history = text === "" ? undefined : parseHistory(timeline, text);
  if (history) return history;
  throw new AppError("retryable", `the other server has no ${name}`);
}

async function judgeKin(of: Case): Promise<Judgement> {
  const { own, upstream } = of;
  const kinship = kinshipOf(own, upstream.history);
  switch (kinship.kind) {
    case "prefix":
      return judgePrefix(of);
    case "unrelated":
      return { kind: "too_old", upstream, why: describeKinship(kinship) };
    case "diverged": {
      if (!upstream.inRecovery && !upstream.checkpointed) {
        return { kind: "wait", why: "the other server has not checkpointed on its timeline" };
      }
      const tail = await tailAt(of, kinship.forkLsn);
      if (tail.kind === "different") return forkedAt(of, kinship.forkLsn);
      if (tail.kind === "unknown") {
        of.deps.log.info("only numbers of timelines prove the common history", { why: tail.why });
      }
      const obstacles = await obstaclesOf(of);
      return { kind: "diverged", upstream, kinship, rewindable: obstacles.length === 0, obstacles };
    }
  }
}

/** The numbers say that it can be followed; the logs have to say so too. */
async function judgePrefix(of: Case): Promise<Judgement> {
  const { own, upstream, session, control } = of;
  const sameTimeline = own.timeline === upstream.history.timeline;
  if (sameTimeline && own.lsn > upstream.endLsn) {
    if (upstream.inRecovery) return { kind: "wait", why: "the other standby is behind" };
    const why = `this data goes to ${formatLsn(own.lsn)} on timeline ${own.timeline}, the primary's only to ${formatLsn(upstream.endLsn)}`;
    return { kind: "forked", upstream, why };
  }
  const tail = await tailAt(of, own.lsn);
  if (tail.kind === "different") return forkedAt(of, own.lsn);
  if (sameTimeline && own.lsn === upstream.endLsn) return { kind: "follow", upstream };
  const at = { lsn: own.lsn, segmentBytes: control.walSegmentBytes };
  if (await hasLogAt(session, upstream.history, at)) return { kind: "follow", upstream };
  const why = `the other server no longer has the log from ${formatLsn(own.lsn)} on`;
  return { kind: "too_old", upstream, why };
}

function forkedAt({ upstream, own }: Case, lsn: bigint): Judgement {
  const why = `the log before ${formatLsn(lsn)} is another one here than there, although both call it timeline ${own.timeline}`;
  return { kind: "forked", upstream, why };
}

function tailAt(
  { deps, session, own, upstream, control }: Case,
  lsn: bigint,
): Promise<TailVerdict> {
  return compareTails({
    lsn: minLsn(lsn, own.lsn),
    segmentBytes: control.walSegmentBytes,
    local: { dataDir: deps.file.layout.data_dir, history: own.history },
    remote: { session, history: upstream.history },
  });
}

/** Why pg_rewind could not be used, one sentence each. */
async function obstaclesOf({ deps, control, upstream }: Case): Promise<readonly string[]> {
  const found: string[] = [];
  if (!control.checksums && !control.walLogHints) {
    found.push("the data has neither checksums nor wal_log_hints");
  }
  if (upstream.inRecovery) found.push("the other server is a standby");
  if (!(await hasOwnMajor(deps, "pg_rewind"))) {
    found.push(`pg_rewind of PostgreSQL ${deps.server().major} is not installed`);
  }
  return found;
}
