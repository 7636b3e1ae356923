// Looks at the instance: its process, its data, its files and what its PostgreSQL answers. Changes nothing but the
// keeper's memory.
import type { Clock } from "../../src/base/clock.ts";
import { AppError, levelOf, messageOf } from "../../src/base/errors.ts";
import {
  fencerSilentMs,
  keeperFileCheckIntervalMs,
  keeperProbeIntervalMs,
} from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/log.ts";
import type { Executor } from "../../src/host/executor.ts";
import { parseServerStatus, selectStatus } from "../../src/postgres/sql/status.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";
import { inspectData } from "./bootstrap.ts";
import type { CertificateWatch } from "./certificates.ts";
import {
  keepCopies,
  readConfiguration,
  readOverridden,
  readPendingRestart,
} from "./configuration.ts";
import { portOf, sameConfiguration } from "./configuration-files.ts";
import type { Observed } from "./decide.ts";
import type { FencerLink } from "./fencer-link.ts";
import type { Memory } from "./memory.ts";
import { openSession, type SqlSession, type SqlTarget } from "./sql.ts";

export interface ObserveDeps {
  readonly executor: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file: KeeperFile;
  readonly fencer: FencerLink;
  readonly certificates: CertificateWatch;
  readonly incarnation: string;
}

/** Where PostgreSQL of this instance is reached. */
export function sqlTarget(deps: ObserveDeps, memory: Memory, database: string): SqlTarget {
  const { config } = memory;
  return {
    socketDir: deps.file.layout.run_dir,
    port: memory.serverPort ?? (config ? portOf(config) : 0),
    major: config?.postgres_major ?? 0,
    database,
    profile: "keeper",
  };
}

/** One look; refreshes what is old. Never throws for what PostgreSQL or the fencer does. */
export async function observe(deps: ObserveDeps, memory: Memory): Promise<Observed> {
  await observeProcess(deps, memory);
  // Without a fencer PostgreSQL can still answer: it does not depend on it.
  const mayAnswer =
    memory.process === "running" || (memory.process === "unknown" && memory.session);
  if (mayAnswer) await probe(deps, memory);
  else await forgetServer(memory);
  if (memory.process !== "running" || memory.data === undefined) {
    memory.data = await inspectData(deps, memory.systemIdentifier);
    if (memory.data.kind === "ready") memory.systemIdentifier = memory.data.systemIdentifier;
  }
  if (deps.clock.monotonicMs() - memory.onDiskAtMs >= keeperFileCheckIntervalMs) {
    await refreshFiles(deps, memory);
    if (memory.accepting) await refreshIfPossible(deps, memory);
  }
  memory.certificates = await deps.certificates.look();
  return summarise(deps.clock, memory);
}

/** Reads the configuration files again, now. */
export async function refreshFiles(deps: ObserveDeps, memory: Memory): Promise<void> {
  memory.onDisk = await readConfiguration(deps);
  memory.onDiskAtMs = deps.clock.monotonicMs();
}

/** The session that the keeper keeps open; opens it when there is none. */
export async function session(deps: ObserveDeps, memory: Memory): Promise<SqlSession> {
  if (!memory.session?.usable) {
    memory.serverPort = await readServerPort(deps);
    // What is written in it is made again by the next primary, so that it need not wait for standbys.
    const target = { ...sqlTarget(deps, memory, "postgres"), commits: "local" } as const;
    memory.session = await openSession(target, deps.clock);
  }
  return memory.session;
}

/** The port of the running server, which may differ from the wanted one until a restart (manual 73.1, postmaster.pid). */
async function readServerPort(deps: ObserveDeps): Promise<number | undefined> {
  const bytes = await deps.executor.get(`${deps.file.layout.data_dir}/postmaster.pid`);
  const port = Number(new TextDecoder().decode(bytes).split("\n")[3]);
  return Number.isInteger(port) && port > 0 ? port : undefined;
}

/** Asks for the settings that wait for a restart and those that ALTER SYSTEM overrides. */
export async function refreshSettings(deps: ObserveDeps, memory: Memory): Promise<void> {
  const open = await session(deps, memory);
  memory.pending = await readPendingRestart(open);
  memory.overridden = await readOverridden(open);
}

async function refreshIfPossible(deps: ObserveDeps, memory: Memory): Promise<void> {
  try {
    await refreshSettings(deps, memory);
  } catch (error) {
    deps.log.debug("settings could not be read", { error: messageOf(error) });
  }
}

export async function forgetServer(memory: Memory): Promise<void> {
  const open = memory.session;
  memory.session = undefined;
  memory.accepting = false;
  memory.status = undefined;
  memory.readyAtMs = undefined;
  memory.pending = [];
  await open?.close();
}

async function observeProcess(deps: ObserveDeps, memory: Memory): Promise<void> {
  const { client } = deps.fencer;
  if (!client) {
    memory.process = "unknown";
    return;
  }
  try {
    const { postgres, last_exit } = await answeredInTime(deps, client.status());
    memory.process = postgres.state;
    memory.postmasterPid = postgres.state === "stopped" ? undefined : postgres.pid;
    memory.remaining = last_exit?.remaining ?? 0;
  } catch (error) {
    deps.log.debug("fencer gave no status", { error: messageOf(error) });
    memory.process = "unknown";
  }
}

/** A fencer that is stopped must not stop the keeper. */
async function answeredInTime<T>({ clock }: ObserveDeps, answer: Promise<T>): Promise<T> {
  const over = new AbortController();
  const silent = clock.sleep(fencerSilentMs, over.signal).then((): never => {
    throw new AppError("retryable", `the fencer said nothing for ${fencerSilentMs} ms`);
  });
  try {
    return await Promise.race([answer, silent]);
  } finally {
    over.abort();
  }
}

async function probe(deps: ObserveDeps, memory: Memory): Promise<void> {
  const { clock } = deps;
  const fresh = clock.monotonicMs() - memory.statusAtMs < keeperProbeIntervalMs;
  if (memory.accepting && fresh && memory.session?.usable) return;
  try {
    const open = await session(deps, memory);
    const [row] = await open.query(selectStatus, [], { kept: true });
    memory.status = row ? parseServerStatus(row) : undefined;
    memory.statusAtMs = clock.monotonicMs();
    if (memory.accepting) {
      await settle(deps, memory);
      return;
    }
    memory.pending = await readPendingRestart(open);
    await refreshFiles(deps, memory);
    memory.readyAtMs = clock.monotonicMs();
    memory.accepting = true;
  } catch (error) {
    // Not from PostgreSQL: a mistake of the keeper must not look like a server that starts for ever.
    deps.log[levelOf(error)]("PostgreSQL does not answer", { error: messageOf(error) });
    memory.accepting = false;
  }
}

/** PostgreSQL still answers, so the files that it read are good. Not done at once: others wait for it to be ready. */
export async function settle(deps: ObserveDeps, memory: Memory): Promise<void> {
  const { texts, proven, writtenAtMs } = memory.onDisk ?? {};
  const read = (memory.status?.configurationLoadedAtMs ?? 0) >= (writtenAtMs ?? 0);
  const whole = read && memory.pending.length === 0;
  if (!texts || !whole || sameConfiguration(texts, proven)) return;
  await keepCopies(deps, "accepted", texts);
  await keepCopies(deps, "proven", texts);
  await refreshFiles(deps, memory);
  await refreshSettings(deps, memory);
}

/** What the rules of one instance decide from. */
export function summarise(clock: Clock, memory: Memory): Observed {
  return {
    data: summariseData(memory),
    process: summariseProcess(clock, memory),
    accepting: memory.accepting,
    configuration: summariseConfiguration(memory),
    pendingRestart: memory.pending.map((setting) => setting.name),
    overridden: memory.overridden,
    inRecovery: memory.accepting ? memory.status?.inRecovery : undefined,
    certificatesChanged: certificatesChanged(memory),
  };
}

/** Data of another major version is not started: it would have to be upgraded first. */
function summariseData(memory: Memory): Observed["data"] {
  const { data, config } = memory;
  if (!data) return { kind: "refused", reason: "not looked at yet" };
  if (data.kind !== "ready" || !config || data.major === config.postgres_major) return data;
  const reason = `the data is of PostgreSQL ${data.major}, not ${config.postgres_major}`;
  return { kind: "refused", reason };
}

function summariseProcess(clock: Clock, memory: Memory): Observed["process"] {
  if (memory.process !== "stopped") return { kind: memory.process };
  const { crash } = memory;
  return {
    kind: "stopped",
    ...(crash ? { crash: crash.text } : {}),
    filesSuspected: crash?.filesSuspected ?? false,
    waitMs: Math.max(0, (crash?.retryAtMs ?? 0) - clock.monotonicMs()),
  };
}

function summariseConfiguration(memory: Memory): Observed["configuration"] {
  const { onDisk, wanted, refusal, config } = memory;
  const same = sameConfiguration(onDisk?.texts, wanted);
  const written = onDisk?.writtenAtMs ?? 0;
  const loaded = memory.status?.configurationLoadedAtMs ?? 0;
  const read = written <= loaded || written === memory.readWrittenAtMs;
  const refused = refusal && refusal.generation === config?.generation ? refusal.error : undefined;
  return {
    files: same ? (read || memory.process !== "running" ? "same" : "unread") : "different",
    refusal: refused,
    substituted: memory.substituted,
    usable: onDisk?.texts !== undefined && !(refused !== undefined && same && !memory.substituted),
    fallback:
      onDisk?.proven !== undefined &&
      !sameConfiguration(onDisk.texts, onDisk.proven) &&
      !(refused !== undefined && sameConfiguration(wanted, onDisk.proven)),
  };
}

function certificatesChanged(memory: Memory): boolean {
  const written = memory.certificates?.writtenAtMs ?? 0;
  const loaded = memory.status?.configurationLoadedAtMs;
  if (loaded === undefined || written === 0) return false;
  return written > loaded && written !== memory.readCertificatesAtMs;
}
