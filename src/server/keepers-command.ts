// `pgherd keepers`: starts and ends keepers of this machine for whoever manages it from elsewhere. One
// request on the input, JSON lines on the output; see orchestrator/baremetal/distant-messages.ts.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openKernel } from "../../agents/fencer/kernel.ts";
import { systemClock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { distantKeepersTimeoutMs } from "../base/limits.ts";
import { systemRng } from "../base/rng.ts";
import { LocalExecutor } from "../host/local.ts";
import {
  DetachedRunner,
  type DistantAnswer,
  type DistantRequest,
  distantBinary,
  keeperDirectory,
  type WantedKeeper,
} from "../orchestrator/baremetal/index.ts";
import type { ObservedKeeper, StepContext } from "../orchestrator/driver.ts";

/** Answers the request; the exit status tells whether it was done. */
export async function runKeepersCommand(): Promise<number> {
  const request: DistantRequest = JSON.parse(await Bun.stdin.text());
  const { host } = request;
  const signal = systemClock.deadline(distantKeepersTimeoutMs);
  try {
    const unlock = await lock(host.dataDir, signal);
    const context: StepContext = {
      executor: new LocalExecutor(host.hostId, systemClock),
      host,
      signal,
      log: (log, fields) => say({ log, ...(fields ? { fields } : {}) }),
    };
    say({ done: await answer(request, context) });
    unlock();
    return 0;
  } catch (thrown) {
    const retryable = !(thrown instanceof AppError) || thrown.kind === "retryable";
    say({ error: messageOf(thrown), retryable });
    return 1;
  }
}

/** One at a time: two that look for the same process at once would both start it. */
async function lock(dataDir: string, signal: AbortSignal): Promise<() => void> {
  if (!existsSync(dataDir)) throw new AppError("terminal", `there is no ${dataDir}`);
  const kernel = openKernel();
  for (;;) {
    const unlock = kernel.lock(`${dataDir}/keepers.lock`);
    if (unlock) return unlock;
    await systemClock.sleep(20, signal);
  }
}

async function answer(
  request: DistantRequest,
  context: StepContext,
): Promise<readonly ObservedKeeper[]> {
  const { hostId, dataDir } = request.host;
  const runner = new DetachedRunner({
    clock: systemClock,
    rng: systemRng,
    launcher: [distantBinary(dataDir)],
    hostId,
  });
  const { executor, signal } = context;
  switch (request.verb) {
    case "ensure":
      await executor.remove(stopMark(request), signal);
      await runner.ensure(request.wanted, request.changed, context);
      return [];
    case "stop":
      await executor.put(stopMark(request), "", { mode: 0o600, signal });
      await runner.stopKeeper(request.wanted, context);
      return [];
    case "remove":
      await runner.removeAll(request.wanted, context);
      return [];
    case "revive":
      await runner.revive(context, await unstopped(runner, context));
      return [];
    case "observe":
      return runner.observe(context);
    default:
      throw new AppError("terminal", "this version does not know what it is asked for");
  }
}

/** Beside the keeper file of an instance that is being removed: nothing of it is started again. */
function stopMark({ host, wanted }: DistantRequest & { readonly wanted: WantedKeeper }): string {
  return join(keeperDirectory(host.dataDir, wanted.instanceId), "stopped");
}

async function unstopped(runner: DetachedRunner, context: StepContext): Promise<readonly string[]> {
  const { dataDir } = context.host;
  const all = (await runner.observe(context)).map(({ instanceId }) => instanceId);
  return all.filter((id) => !existsSync(join(keeperDirectory(dataDir, id), "stopped")));
}

function say(answer: DistantAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
