// Amounts of CPU and memory as users write them. Arithmetic is exact; the written text is never replaced.
import { fail, ok, type Result } from "../base/result.ts";

const CPUS = /^(\d{1,9})(?:\.(\d{1,3})|(m))?$/;
const MEMORY = /^(\d{1,16})(?:\.(\d{1,9}))?\s*([a-z]*)$/i;
const PREFIXES = ["", "k", "m", "g", "t", "p", "e"];

/**
 * CPUs of a text such as `2`, `0.5` or `500m`, to the thousandth. 0 means no limit.
 */
export function parseCpus(text: string): Result<number, string> {
  const match = CPUS.exec(text);
  if (!match)
    return fail("must be a number with at most three decimals, or thousandths as in `500m`");
  const [, whole = "", decimals = "", thousandths] = match;
  const milli =
    thousandths === undefined
      ? Number(whole) * 1000 + Number(decimals.padEnd(3, "0"))
      : Number(whole);
  return ok(milli / 1000);
}

/**
 * Bytes of a text such as `512MiB` or `1.5GB`: powers of 1024 with an `i`, of 1000 without, bytes
 * without a unit; case does not matter. A part of a byte is dropped. 0 means no limit.
 */
export function parseMemory(text: string): Result<number, string> {
  const match = MEMORY.exec(text.trim());
  const [, whole = "", decimals = "", unit = ""] = match ?? [];
  const factor = match ? unitFactor(unit) : undefined;
  if (factor === undefined)
    return fail("must be a number of bytes with a unit such as `MiB` or `GB`");
  const bytes = (BigInt(whole + decimals) * factor) / 10n ** BigInt(decimals.length);
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) return fail("is more than any host can have");
  return ok(Number(bytes));
}

/** Bytes that one of the unit stands for: nothing, `b`, `k`, `kb`, `ki`, `kib` and so on. */
function unitFactor(unit: string): bigint | undefined {
  const parts = /^([kmgtpe]?)(i?)b?$/.exec(unit.toLowerCase());
  if (!parts) return undefined;
  const [, prefix = "", binary = ""] = parts;
  if (prefix === "" && binary !== "") return undefined;
  return (binary === "" ? 1000n : 1024n) ** BigInt(PREFIXES.indexOf(prefix));
}
