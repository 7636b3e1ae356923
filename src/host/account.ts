// Users of this machine by name and by number. /etc/passwd first; name services only for the rest.
import { readFileSync, statSync } from "node:fs";
import { AppError } from "../base/errors.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  /** Primary group. */
  readonly gid: number;
}

/** The user of this name. Throws a terminal AppError when there is none. */
export function accountByName(name: string): Account {
  const found = inPasswd((account) => account.name === name) ?? fromNameServices(name);
  if (found) return found;
  throw new AppError("terminal", `this host has no user "${name}"`);
}

/** The name of a user id; the number itself when it has none. */
export function accountName(uid: number): string {
  const found = inPasswd((account) => account.uid === uid) ?? fromNameServices(String(uid));
  return found?.name ?? String(uid);
}

/** The effective user id of this process. */
export function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** Whether a user of this name is the one this process runs as. */
export function isOwnUser(name: string): boolean {
  return accountByName(name).uid === ownUid();
}

/**
 * The command as it must be run so that it runs as `user`: unchanged when that is the own user.
 * Supplementary groups are those of the user, and nothing it runs can gain privileges.
 */
export function asUser(
  argv: readonly [string, ...string[]],
  user: string | null | undefined,
): readonly [string, ...string[]] {
  if (user === null || user === undefined || isOwnUser(user)) return argv;
  if (ownUid() !== 0) {
    throw new AppError("terminal", `only root can run ${argv[0]} as user "${user}"`);
  }
  const { uid, gid } = accountByName(user);
  return [
    "/usr/bin/setpriv",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    "--init-groups",
    "--no-new-privs",
    "--",
    ...argv,
  ];
}

const PASSWD = "/etc/passwd";
let passwd: { readonly seen: string; readonly accounts: readonly Account[] } | undefined;

/** The file is asked for again and again, and hardly ever another. */
function inPasswd(wanted: (account: Account) => boolean): Account | undefined {
  const { ino, size, mtimeMs } = statSync(PASSWD);
  const seen = `${ino} ${size} ${mtimeMs}`;
  if (passwd?.seen !== seen) {
    const lines = readFileSync(PASSWD, "utf8").split("\n");
    passwd = { seen, accounts: lines.flatMap((line) => parseLine(line) ?? []) };
  }
  return passwd.accounts.find(wanted);
}

function fromNameServices(key: string): Account | undefined {
  const getent = Bun.which("getent", { PATH: "/usr/bin:/bin" });
  if (getent === null) return undefined;
  const answer = Bun.spawnSync([getent, "passwd", key], { timeout: 2_000, stdin: "ignore" });
  return answer.exitCode === 0 ? parseLine(answer.stdout.toString().trim()) : undefined;
}

function parseLine(line: string): Account | undefined {
  const [name, , uid, gid] = line.split(":");
  if (!name || uid === undefined || gid === undefined) return undefined;
  return { name, uid: Number(uid), gid: Number(gid) };
}
