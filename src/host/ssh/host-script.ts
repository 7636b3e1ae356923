// Small shell programs that look at and change files on an SSH host as the user everything is done
// as. For what SFTP cannot do: sudo, directories, hosts without SFTP.
import { AppError } from "../../base/errors.ts";
import type { FileStat } from "../executor.ts";

type Argv = readonly [string, ...string[]];

/** One of the programs below with its arguments; `sh` reads it as text, arguments stay arguments. */
export function hostScript(script: string, ...args: readonly string[]): Argv {
  return ["/bin/sh", "-c", script, "sh", ...args];
}

/**
 * Makes a file from its input: path, mode, user id, group id (empty: leave). Changes go through an open
 * descriptor, so that nobody who may write the directory can lead them to another file.
 */
export const putScript = `
umask 077
set -C
[ ! -d "$1" ] || [ -L "$1" ] || { echo "EISDIR: it is a directory" >&2; exit 1; }
directory=$(dirname -- "$1")
[ -d "$directory" ] || { echo "ENOENT: no directory $directory" >&2; exit 1; }
temporary="$directory/.$(basename -- "$1").$$.tmp"
rm -f -- "$temporary"
exec 5>"$temporary" || exit 1
if cat >&5 && { [ -z "$3" ] || chown "$3:$4" "/proc/$$/fd/5"; } && chmod "$2" "/proc/$$/fd/5" \\
  && sync -- "$temporary" && mv -fT -- "$temporary" "$1"; then sync -- "$directory"; exit; fi
rm -f -- "$temporary"
exit 1
`;

/** Prints a file's first bytes: path, bytes. Says why not with ENOENT or "it is not a file". */
export const getScript = `
export LC_ALL=C
kind=$(stat -L -c %F -- "$1") || exit 1
case $kind in "regular file" | "regular empty file") ;; *) echo "it is not a file" >&2; exit 1 ;; esac
head -c "$2" -- "$1"
`;

/** Prints mode (hexadecimal), size, time (seconds), owner's name and number. */
export const statScript = `LC_ALL=C stat -c '%f %s %Y %U %u' -- "$1"`;

/** Prints the names in a directory, each followed by a zero byte. */
export const listScript = `
export LC_ALL=C
[ -d "$1" ] || { stat -L -- "$1" >/dev/null || exit 1; echo "it is not a directory" >&2; exit 1; }
find "$1/." -mindepth 1 -maxdepth 1 -printf '%f\\0'
`;

/**
 * Makes a directory with its parents: path, mode, user id, group id (empty: leave). The last one is
 * entered and compared, so that a symlink in its place is not followed by a change.
 */
export const mkdirScript = `
export LC_ALL=C
umask 022
make() {
  [ ! -d "$1" ] || return 0
  make "$(dirname -- "$1")" || return 1
  mkdir -m 0755 -- "$1" || [ -d "$1" ]
}
make "$1" && cd -P -- "$1" || exit 1
[ "$(stat -c %d:%i -- "$1")" = "$(stat -c %d:%i .)" ] || { echo "it is a symlink" >&2; exit 1; }
{ [ -z "$3" ] || chown "$3:$4" .; } && chmod "$2" .
`;

/** Prints user id and name of who runs it. */
export const identityScript = "id -u && id -un";

/** Prints user id and primary group id of a user name. */
export const accountScript = 'id -u -- "$1" && id -g -- "$1"';

/** Whether a program's complaint means that nothing is there. */
export function saysMissing(stderr: string): boolean {
  return /No such file or directory|Not a directory/.test(stderr);
}

/** What statScript printed. */
export function parseStat(text: string): FileStat {
  const [mode, size, modified, owner, uid] = text.trim().split(" ");
  if (uid === undefined) throw new AppError("terminal", `stat answered "${text.slice(0, 100)}"`);
  const bits = Number.parseInt(mode ?? "", 16);
  return {
    kind: kindOf(bits),
    mode: bits & 0o7777,
    owner: owner === "UNKNOWN" || owner === undefined ? uid : owner,
    sizeBytes: Number(size),
    modifiedMs: Number(modified) * 1_000,
  };
}

/** The kind in the mode bits (inode(7)). */
export function kindOf(mode: number): FileStat["kind"] {
  const format = mode & 0o170000;
  if (format === 0o100000) return "file";
  if (format === 0o040000) return "directory";
  return format === 0o120000 ? "symlink" : "other";
}
