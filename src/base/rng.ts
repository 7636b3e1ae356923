// The only source of randomness; injected so that tests and simulations can be replayed from a seed.
import { randomBytes } from "node:crypto";

/** Random numbers and bytes. */
export interface Rng {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [min, max], both included. */
  int(min: number, max: number): number;
  /** `count` random bytes. */
  bytes(count: number): Uint8Array;
}

/** Cryptographically strong randomness from the operating system. */
export const systemRng: Rng = {
  next: () => randomBytes(4).readUInt32BE(0) / 2 ** 32,
  int: (min, max) => min + Math.floor((randomBytes(4).readUInt32BE(0) / 2 ** 32) * (max - min + 1)),
  bytes: (count) => new Uint8Array(randomBytes(count)),
};

/** Repeatable randomness (mulberry32). For tests and simulations only: never for secrets. */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
  };
}
