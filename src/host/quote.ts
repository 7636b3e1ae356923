// The only place that builds a shell string. POSIX single quotes (XCU 2.2.2): nothing inside them is special.
import { AppError } from "../base/errors.ts";

const SAFE = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One argument as a shell word that stands for exactly this text. */
export function quote(argument: string): string {
  if (argument.includes("\0")) {
    throw new AppError("terminal", "an argument with a zero byte cannot be passed to a program");
  }
  if (SAFE.test(argument)) return argument;
  return `'${argument.replaceAll("'", "'\\''")}'`;
}

/** A whole command as shell text; also how commands are shown to people. */
export function renderCommand(argv: readonly string[]): string {
  const [program, ...rest] = argv.map(quote);
  // A bare first word with "=" would be taken for an assignment.
  const first = program?.includes("=") && !program.startsWith("'") ? `'${program}'` : program;
  return [first, ...rest].join(" ");
}
