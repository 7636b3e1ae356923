// How far this host's wall clock is from the cluster's time: known to its server, and in a file for its keepers.
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { ClusterClock, clockFileName } from "../base/cluster-clock.ts";
import { clusterClockNoiseMs } from "../base/limits.ts";
import type { Rng } from "../base/rng.ts";
import { replaceFile } from "../store/rqlited-binary.ts";

/** The clock of a server, which measures how far it is off and tells the keepers. */
export class ServerClock extends ClusterClock {
  readonly #ahead: { ms: number };
  #written: number | undefined;

  constructor(own: Clock) {
    const ahead = { ms: 0 };
    super(own, () => ahead.ms);
    this.#ahead = ahead;
  }

  /** Takes over a measurement; less than what measuring itself may be wrong by counts as nothing. */
  async follow(measuredMs: number, dataDir: string, rng: Rng): Promise<void> {
    const isNoise = Math.abs(measuredMs) < clusterClockNoiseMs;
    const change = Math.abs(measuredMs - this.#ahead.ms);
    if (isNoise) this.#ahead.ms = 0;
    else if (change >= clusterClockNoiseMs) this.#ahead.ms = measuredMs;
    if (this.#written === this.#ahead.ms) return;
    const text = `${JSON.stringify(this.#ahead.ms)}\n`;
    await replaceFile(join(dataDir, clockFileName), text, { mode: 0o600, rng });
    this.#written = this.#ahead.ms;
  }
}
