// Ends PostgreSQL whatever it does, also when the fencer does not answer: then the keeper kills by itself.
import type { Clock } from "../../../src/base/clock.ts";
import { AppError, messageOf } from "../../../src/base/errors.ts";
import { fencerSilentMs } from "../../../src/base/limits.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { KeeperFile } from "../../../src/spec/instance-config.ts";
import { killAll } from "../../fencer/kill-ladder.ts";
import { territoryOf } from "../../fencer/territory.ts";
import type { FencerLink } from "../fencer-link.ts";

export interface FenceDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly file: KeeperFile;
  readonly fencer: FencerLink;
}

/** Kills every process of the instance. Throws a retryable AppError while some are left. */
export async function fence(deps: FenceDeps): Promise<void> {
  const { log } = deps;
  let remaining: number;
  try {
    remaining = await byFencer(deps);
  } catch (error) {
    log.error("the fencer does not kill: the keeper does", { error: messageOf(error) });
    remaining = await byKeeper(deps);
  }
  if (remaining > 0) {
    throw new AppError("retryable", `${remaining} processes of PostgreSQL cannot be ended`);
  }
}

async function byFencer({ fencer, clock }: FenceDeps): Promise<number> {
  const client = fencer.required();
  const over = new AbortController();
  try {
    const silent = clock.sleep(fencerSilentMs, over.signal).then((): never => {
      throw new AppError("retryable", `no answer within ${fencerSilentMs} ms`);
    });
    await Promise.race([client.status(), silent]);
    return (await client.kill()).remaining;
  } finally {
    over.abort();
  }
}

/** Kills by the keeper itself; answers how many processes are left. */
export async function byKeeper({
  file,
  clock,
}: Pick<FenceDeps, "file" | "clock">): Promise<number> {
  const proof = await killAll(territoryOf(file), { clock, reap: () => undefined });
  return proof.remaining;
}
