// Makes identifiers. Time and randomness come from outside, so ids are repeatable in tests.
import type { Clock } from "./clock.ts";
import type { Rng } from "./rng.ts";

/** Makes ids that sort by the time of their making. */
export interface Ids {
  /** A UUID of version 7 (RFC 9562 section 5.7), strictly increasing within this process. */
  uuid(): string;
}

/** Version 7 UUIDs from the given clock and randomness. */
export function uuidMaker(clock: Clock, rng: Rng): Ids {
  let lastMs = 0;
  let sequence = 0;
  return {
    uuid() {
      const nowMs = Math.max(clock.nowMs(), lastMs);
      sequence = nowMs === lastMs ? sequence + 1 : 0;
      if (sequence > 0xfff) {
        lastMs = nowMs + 1;
        sequence = 0;
      } else {
        lastMs = nowMs;
      }
      return formatV7(lastMs, sequence, rng.bytes(8));
    },
  };
}

function formatV7(ms: number, sequence: number, random: Uint8Array): string {
  const time = ms.toString(16).padStart(12, "0");
  const counter = (0x7000 | sequence).toString(16);
  const tail = Array.from(random, (byte, index) => (index === 0 ? (byte & 0x3f) | 0x80 : byte))
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return `${time.slice(0, 8)}-${time.slice(8)}-${counter}-${tail.slice(0, 4)}-${tail.slice(4)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text is a UUID of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
