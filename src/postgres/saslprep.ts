// Prepares a password as PostgreSQL and libpq do before SCRAM (RFC 4013 over RFC 3454): what they cannot
// prepare they use as it is, so both ends agree on every text.
import {
  leftToRight,
  mappedToNothing,
  nonAsciiSpaces,
  prohibited,
  rightToLeft,
  unassigned,
} from "./saslprep-tables.ts";

type Ranges = readonly (readonly [number, number])[];

interface Tables {
  readonly spaces: Ranges;
  readonly nothing: Ranges;
  readonly refused: Ranges;
  readonly rightToLeft: Ranges;
  readonly leftToRight: Ranges;
}

/** The prepared password; the password itself when it is ASCII or when preparation is not allowed for it. */
export function saslPrepare(password: string): string {
  if (isAscii(password)) return password;
  const tables = readTables();
  const mapped = Array.from(password, codeOf)
    .map((code) => (within(code, tables.spaces) ? 0x20 : code))
    .filter((code) => !within(code, tables.nothing));
  if (mapped.length === 0) return password;
  if (mapped.some((code) => within(code, tables.refused))) return password;
  if (!directionAllowed(mapped, tables)) return password;
  return mapped
    .map((code) => String.fromCodePoint(code))
    .join("")
    .normalize("NFKC");
}

/** RFC 3454 section 6: right-to-left text stands alone, from first to last character. */
function directionAllowed(codes: readonly number[], tables: Tables): boolean {
  if (!codes.some((code) => within(code, tables.rightToLeft))) return true;
  if (codes.some((code) => within(code, tables.leftToRight))) return false;
  return [codes.at(0), codes.at(-1)].every(
    (code) => code !== undefined && within(code, tables.rightToLeft),
  );
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return false;
  }
  return true;
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

/** Parsed when needed: nearly all passwords are ASCII. */
function readTables(): Tables {
  return {
    spaces: parseRanges(nonAsciiSpaces),
    nothing: parseRanges(mappedToNothing),
    refused: [...parseRanges(prohibited), ...parseRanges(unassigned)],
    rightToLeft: parseRanges(rightToLeft),
    leftToRight: parseRanges(leftToRight),
  };
}

function parseRanges(text: string): Ranges {
  return text.split(" ").map((range) => {
    const [first = "", last = first] = range.split("-");
    return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  });
}

function within(code: number, ranges: Ranges): boolean {
  return ranges.some(([first, last]) => code >= first && code <= last);
}
