// The only functions that put a name or a text into SQL (manual, "Lexical Structure" 4.1.1 and 4.1.2).
import { AppError } from "../base/errors.ts";

/** Longest name PostgreSQL keeps, in bytes of UTF-8 (NAMEDATALEN - 1); it cuts longer ones silently. */
export const identifierBytesMax = 63;

const encoder = new TextEncoder();

/** The name in double quotes. Throws for names PostgreSQL cannot hold: empty, too long, or with NUL. */
export function quoteIdentifier(name: string): string {
  if (name === "") throw new AppError("terminal", "an SQL identifier must not be empty");
  refuseNul(name, "an SQL identifier");
  if (encoder.encode(name).length > identifierBytesMax) {
    throw new AppError("terminal", `SQL identifier longer than ${identifierBytesMax} bytes`);
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * The text as an SQL literal, right whatever `standard_conforming_strings` is: a text with a backslash
 * becomes an E'…' literal. Throws for texts with NUL, which PostgreSQL cannot hold.
 */
export function quoteLiteral(text: string): string {
  refuseNul(text, "an SQL literal");
  const doubled = text.replaceAll("'", "''");
  return doubled.includes("\\") ? `E'${doubled.replaceAll("\\", "\\\\")}'` : `'${doubled}'`;
}

function refuseNul(text: string, what: string): void {
  if (text.includes("\0")) throw new AppError("terminal", `${what} must not contain NUL`);
}
