// What a model keeper sees of its PostgreSQL, in the terms of the real one.
import type { LocalData, LocalView, PostgresView } from "../../src/ha/observed.ts";
import type { KeeperCore } from "./keeper-core.ts";
import { endOf, lsnText } from "./wal.ts";

export function observe(keeper: KeeperCore): LocalView {
  const { postgres, fencer } = keeper.parts;
  return {
    data: dataOf(keeper),
    postgres: fencer.answers || postgres.server.kind !== "stopped" ? serverOf(keeper) : unknown,
    doing: keeper.work.doing,
    heldEpoch: keeper.lease.heldEpoch,
    vote: keeper.disk.vote,
    attempts: {
      failedPromotions: keeper.disk.failedPromotions,
      crashesAtMs: keeper.disk.crashesAtMs,
      rejoin: keeper.rejoin,
    },
    disk: "ok",
    leavingSinceMs: keeper.leavingSinceMs,
  };
}

const unknown: PostgresView = { kind: "unknown" };

function dataOf({ parts }: KeeperCore): LocalData {
  const { data, server } = parts.postgres;
  if (data.kind === "absent") return { kind: "absent", hadData: data.hadData };
  if (data.kind !== "ready") return { kind: "unfinished", of: data.kind };
  const { timeline, lsn } = endOf(data.wal);
  const known = server.kind === "stopped" && data.clean && data.role === "primary";
  return {
    kind: "ready",
    systemIdentifier: data.systemIdentifier,
    timeline,
    end: known ? BigInt(lsn) : null,
    role: data.role,
    clean: data.clean,
    rewindable: true,
  };
}

function serverOf(keeper: KeeperCore): PostgresView {
  const { postgres, host } = keeper.parts;
  const { server } = postgres;
  if (server.kind !== "stopped" && host.stopped.has("postgres")) {
    return { kind: "hung", sinceMs: keeper.nowMs };
  }
  switch (server.kind) {
    case "stopped":
      return { kind: "stopped", crash: server.crash, empty: true };
    case "starting":
      return { kind: "starting", sinceMs: server.sinceMs, progressAtMs: keeper.nowMs };
    case "stopping":
      return { kind: "stopping", sinceMs: server.sinceMs };
    case "standby":
      return standbyOf(keeper, server);
    case "primary":
      return primaryOf(keeper, server);
  }
}

function standbyOf(
  { parts }: KeeperCore,
  server: NonNullable<KeeperCore["parts"]["postgres"]["standby"]>,
): PostgresView {
  const { timeline, lsn } = endOf(parts.postgres.data.wal);
  return {
    kind: "standby",
    sinceMs: server.sinceMs,
    timeline,
    received: BigInt(lsn),
    replayed: BigInt(lsn),
    progressAtMs: server.progressAtMs,
    upstream: server.upstream,
    streaming: server.streaming,
    silentSinceMs: server.silentSinceMs,
    stranded: null,
    replayPaused: false,
    promotingSinceMs: null,
  };
}

function primaryOf(
  { parts }: KeeperCore,
  server: NonNullable<KeeperCore["parts"]["postgres"]["primary"]>,
): PostgresView {
  const { postgres } = parts;
  const { wal } = postgres.data;
  const { timeline, lsn } = endOf(wal);
  const forks = wal.slice(1).map((piece, index) => ({
    timeline: piece.timeline,
    from_timeline: wal[index]?.timeline ?? 0,
    switch_lsn: lsnText(piece.from),
  }));
  const standbys = postgres.attached().map(({ id, flushed, ageMs }) => ({
    instance: id,
    streaming: true,
    flushed: BigInt(flushed),
    replyAgeMs: ageMs,
  }));
  return {
    kind: "primary",
    sinceMs: server.sinceMs,
    timeline,
    flushed: BigInt(lsn),
    forks,
    gateLsn: BigInt(server.gateLsn),
    gate: server.gate,
    checkpointDone: server.checkpointDone,
    sync: {
      setting: server.setting,
      provenLsn: server.provenLsn === null ? null : BigInt(server.provenLsn),
    },
    standbys,
    missing: [...server.missingSince].map(([instance, sinceMs]) => ({ instance, sinceMs })),
  };
}
