// Which processes belong to one instance. Every child of PostgreSQL is its own session and process
// group, and orphans outlive their postmaster, so neither groups nor the pid file find them all.
import { readlinkSync, statSync } from "node:fs";
import { accountByName, ownUid } from "../../src/host/account.ts";
import {
  hasCode,
  isLive,
  listProcesses,
  type ProcessEntry,
  readArguments,
  readUserId,
} from "../../src/host/process.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";

/** What makes a process one of the instance. */
export interface Territory {
  readonly dataDir: string;
  /** The user PostgreSQL runs as. */
  readonly uid: number;
  /** All descendants of this process belong to the instance; it itself does not. */
  readonly ancestorPid: number;
}

/** As the keeper sees it, whose descendants are none of it: by user and directory. */
export function territoryOf({ layout, postgres_user: user }: KeeperFile): Territory {
  const uid = user === null ? ownUid() : accountByName(user).uid;
  return { dataDir: layout.data_dir, uid, ancestorPid: -1 };
}

/**
 * The living processes of the instance: descendants of the ancestor, processes that work in the data
 * directory, and all their descendants. People who merely look into the directory are spared: other
 * users, and shells on a terminal, unless the program is postgres itself.
 */
export function membersOf(territory: Territory): readonly ProcessEntry[] {
  const living = listProcesses().filter(isLive);
  const children = Map.groupBy(living, ({ parentPid }) => parentPid);
  const directory = inodeOf(territory.dataDir);
  const found = new Map<number, ProcessEntry>();
  const queue = [
    ...(children.get(territory.ancestorPid) ?? []),
    ...living.filter((entry) => worksIn(entry, territory, directory)),
  ];
  for (let entry = queue.pop(); entry; entry = queue.pop()) {
    if (entry.pid === territory.ancestorPid || found.has(entry.pid)) continue;
    found.set(entry.pid, entry);
    queue.push(...(children.get(entry.pid) ?? []));
  }
  return [...found.values()];
}

/**
 * The postmaster among the members: it keeps its command line, whereas its children show a title
 * ("postgres: …"). More reliable than postmaster.pid, which can be stale, removed or gone with the directory.
 */
export function postmasterAmong(members: readonly ProcessEntry[]): ProcessEntry | undefined {
  const pids = new Set(members.map(({ pid }) => pid));
  return members.find(
    (entry) =>
      entry.name === "postgres" &&
      !pids.has(entry.parentPid) &&
      isPostmasterCommand(readArguments(entry.pid)),
  );
}

/**
 * Members that only a postmaster can have started: their title says "postgres: …". Programs that
 * initdb and pg_rewind run in the data directory are none of them.
 */
export function backendsAmong(members: readonly ProcessEntry[]): readonly ProcessEntry[] {
  return members.filter(
    ({ name, pid }) => name === "postgres" && readArguments(pid)[0]?.startsWith("postgres:"),
  );
}

function isPostmasterCommand(argv: readonly string[]): boolean {
  const [program, ...rest] = argv;
  if (!program || program.startsWith("postgres:")) return false;
  return !rest.includes("--single") && !rest.includes("--boot");
}

function worksIn(entry: ProcessEntry, territory: Territory, directory: string | undefined) {
  // Kernel threads are children of process 2 and have no directory.
  if (entry.parentPid === 2 || entry.pid === 2 || entry.pid === process.pid) return false;
  const inside = directory !== undefined && inodeOf(`/proc/${entry.pid}/cwd`) === directory;
  if (entry.name === "postgres") return inside || startedFor(entry.pid, territory.dataDir);
  return inside && entry.terminal === 0 && readUserId(entry.pid) === territory.uid;
}

/** Of a data directory that was moved, removed or replaced since: processes still show where they began. */
function startedFor(pid: number, dataDir: string): boolean {
  const argv = readArguments(pid);
  const option = argv.indexOf("-D");
  return (
    (option >= 0 && argv[option + 1] === dataDir) ||
    linkOf(`/proc/${pid}/cwd`) === `${dataDir} (deleted)`
  );
}

function inodeOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "ENOTDIR")) return undefined;
    throw error;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL")) return undefined;
    throw error;
  }
}
