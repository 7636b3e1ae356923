// Keeps this host's keepers and fencers alive where no service manager does it.
import { messageOf } from "../base/errors.ts";
import { keeperListIntervalMs, superviseUpkeepIntervalMs } from "../base/limits.ts";
import type { StepContext } from "../orchestrator/driver.ts";
import type { HostFacts } from "../plan/placement.ts";
import type { ServerEnvironment } from "./environment.ts";

/** This host as its driver needs to know it. */
export function ownFacts({ config }: ServerEnvironment): HostFacts {
  return {
    hostId: config.host_id,
    dataDir: config.data_dir,
    runDir: config.run_dir,
    instanceDir: config.postgres.instance_dir,
    postgresUser: config.postgres.user ?? null,
  };
}

/**
 * Runs until the signal aborts. What is wanted is what is on disk, so that keepers are looked after
 * while the store is away.
 */
export async function superviseKeepers(
  environment: ServerEnvironment,
  signal: AbortSignal,
): Promise<void> {
  const { clock, driver, executor } = environment;
  const log = environment.log.component("keepers");
  const context: StepContext = {
    executor,
    host: ownFacts(environment),
    signal,
    log: (message, fields) => log.info(message, fields),
  };
  // Where a service manager starts what ended, only what others did to it has to be noticed.
  const pauseMs = driver.capabilities.survivesServerDown
    ? superviseUpkeepIntervalMs
    : keeperListIntervalMs;
  let wanted: readonly string[] = [];
  const ended = new AbortController();
  const listing = AbortSignal.any([signal, ended.signal]);
  const list = async () => {
    while (!listing.aborted) {
      try {
        const observed = await driver.observe({ ...context, signal: listing });
        wanted = observed.map(({ instanceId }) => instanceId);
      } catch (thrown) {
        if (listing.aborted) return;
        log.warn("cannot list the keepers", { error: messageOf(thrown) });
      }
      // An abort ends the pause early, and then the loop.
      await clock.sleep(pauseMs, listing).catch(() => undefined);
    }
  };
  const supervision = driver.supervise(context, () => wanted).finally(() => ended.abort());
  await Promise.all([list(), supervision]);
}
