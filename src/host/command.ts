// What to run on a host, and what came of it. Knows nothing of how a host is reached.

/** A command as an argv array; never a shell string. */
export interface Command {
  readonly argv: readonly [string, ...string[]];
  /** Added to a minimal environment (PATH, LANG=C.UTF-8); the caller's own environment is not inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  /** Operating-system user to run as; needs a privileged executor when it differs from its own user. */
  readonly user?: string;
  /** Milliseconds; commandTimeoutMs when absent. */
  readonly timeoutMs?: number;
  /** Shown instead of argv in logs and errors when argv holds something private. */
  readonly label?: string;
}

/** The same fields for success and failure; the caller decides which is which. */
export interface CommandResult {
  readonly command: string;
  /** Exit status; null when it ended by a signal, timed out or was cancelled. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly cancelled: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** Output was longer than commandOutputBytesMax and its middle is missing. */
  readonly truncated: boolean;
  readonly durationMs: number;
}

/** Whether the command ran to its end and reported success. */
export function succeeded(result: CommandResult): boolean {
  return result.exitCode === 0;
}

/** One sentence about a command that did not succeed, with the end of what it said. */
export function failureText(result: CommandResult): string {
  const how = result.cancelled
    ? "was cancelled"
    : result.timedOut
      ? `timed out after ${Math.round(result.durationMs)} ms`
      : result.signal !== null
        ? `was ended by ${result.signal}`
        : `failed with exit status ${result.exitCode}`;
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-1_000);
  return `${result.command} ${how}${said ? `: ${said}` : ""}`;
}
