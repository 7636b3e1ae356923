// The text that runs a command on an SSH host. It travels over the channel's input, not on a command
// line, so nothing of it shows in process lists or in the logs of sshd and sudo.
//
// The input stays open as long as the command may run. When it ends - because we cancel, or because
// the connection is lost - the host itself ends the command and everything in its process group.
import { AppError } from "../../base/errors.ts";
import type { Command } from "../command.ts";
import { commandPath } from "../local-run.ts";
import { quote, renderCommand } from "../quote.ts";

/** Precedes everything that the command says, on both streams; login shells print before it. */
export const remoteMark = "\x1epgherd ";

/** Why a host did not run a command although it could. */
export type Refusal = "cwd" | "user" | "root" | "input";

export interface RemoteLimits {
  /** From being asked to end to being killed. */
  readonly graceMs: number;
  /** The command's time on the host itself, for when nobody can tell it any more. */
  readonly limitMs: number;
}

const PROLOGUE = `
exec 3<&0 </dev/null
say() { printf '\\036pgherd %s\\n' "$1"; printf '\\036pgherd %s\\n' "$1" >&2; }
refuse() { say "$1"; exit 0; }
[ -z "$cwd" ] || cd "$cwd" 2>/dev/null || refuse cwd
`;

/** As another user: with that user's groups, and nothing can gain privileges. */
const AS_USER = `
if [ -n "$user" ]; then
  uid=$(id -u "$user" 2>/dev/null) || refuse user
  if [ "$uid" != "$(id -u)" ]; then
    [ "$(id -u)" = 0 ] || refuse root
    set -- "$(command -v setpriv)" --reuid="$uid" --regid="$(id -g "$user")" --init-groups --no-new-privs -- "$@"
  fi
fi
`;

/** All of the input is there before the command starts: half of one is never acted upon. */
const INPUT = `
if [ "$input" -gt 0 ]; then
  spool=$(umask 077; mktemp /dev/shm/pgherd.XXXXXXXXXX 2>/dev/null || mktemp) || exit
  exec 4<"$spool" 5>"$spool"
  rm -f "$spool"
  head -c "$input" <&3 >&5
  exec 5>&-
  [ "$(stat -L -c %s "/proc/$$/fd/4")" = "$input" ] || refuse input
else
  exec 4</dev/null
fi
`;

/**
 * The command is the leader of its own session. What waits for the end of the input, or of the time,
 * tells this shell, which alone ends the command, so that nothing is signalled that is not its own.
 */
const RUN = (exports: string) => `
ending=
trap 'ending=1' TERM HUP INT
say ok
launcher=$(command -v setsid)
# A shell without job control starts what runs in the background with these two ignored (XCU 2.11).
if env --default-signal=INT,QUIT true 2>/dev/null; then
  set -- /usr/bin/env --default-signal=INT,QUIT "$@"
fi
( ${exports}
  exec "$launcher" "$@" <&4 3<&- 4<&- ) &
child=$!
setsid /bin/sh -c 'timeout "$1" cat <&3; kill -TERM "$2"' sh "$limit" "$$" 4<&- >/dev/null 2>&1 &
watcher=$!
exec 3<&- 4<&- 2>/dev/null
wait "$child"
status=$?
if [ -n "$ending" ]; then
  kill -s TERM -- "-$child" "$child"
  while [ "$grace" -gt 0 ] && kill -s 0 -- "-$child"; do
    sleep 0.05
    grace=$((grace - 1))
  done
  kill -s KILL -- "-$child" "$child"
  wait "$child"
  status=$?
fi
kill -s KILL -- "-$watcher" "$watcher"
exit "$status"
`;

/** Runs a command with `inputBytes` bytes of input following the script. */
export function commandScript(command: Command, inputBytes: number, limits: RemoteLimits): string {
  const variables = {
    cwd: command.cwd ?? "",
    user: command.user ?? "",
    input: String(inputBytes),
    limit: String(Math.ceil(limits.limitMs / 1_000)),
    grace: String(Math.ceil(limits.graceMs / 50)),
  };
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${quote(value)}`);
  // A shell in between answers 127 for a program that does not exist, as everywhere else.
  const innermost = renderCommand(["/bin/sh", "-c", 'exec "$@"', "sh", ...command.argv]);
  return [
    ...assignments,
    `set -- ${innermost}`,
    PROLOGUE,
    AS_USER,
    INPUT,
    RUN(exports(command.env)),
  ].join("\n");
}

/** What sshd is told to run: a clean environment, and the script of that many bytes from the input. */
export function launcher(scriptBytes: number, become: "sudo" | undefined): string {
  const clean = [
    "/usr/bin/env",
    "-i",
    `PATH=${commandPath}`,
    "LANG=C.UTF-8",
    "/bin/sh",
    "-c",
    `eval "$(head -c ${scriptBytes})"`,
  ];
  return `exec ${renderCommand(become === "sudo" ? ["sudo", "-n", "--", ...clean] : clean)}`;
}

/** Set in a shell of their own, so that values never are arguments of a program. */
function exports(env: Command["env"]): string {
  return Object.entries(env ?? {})
    .map(([name, value]) => `export ${environmentName(name)}=${quote(value)};`)
    .join(" ");
}

function environmentName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw new AppError("terminal", `"${name}" is not the name of an environment variable`);
}
