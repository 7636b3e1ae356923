// A driver of detached processes on this machine, under a directory of its own.
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { seededRng } from "../../src/base/rng.ts";
import { ownUid } from "../../src/host/account.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { listProcesses, readArguments, sendSignal } from "../../src/host/process.ts";
import type { StepContext } from "../../src/orchestrator/driver.ts";
import { driverByName } from "../../src/orchestrator/registry.ts";
import type { DriverBench } from "../contract/driver.ts";

/** Processes that stand for keepers and fencers. */
export const launcher = [process.execPath, join(import.meta.dir, "agents-process.ts")] as const;
export const postgresUser = ownUid() === 0 ? "postgres" : null;

export function registryDeps({ executor }: StepContext) {
  return { clock: systemClock, rng: seededRng(1), launcher, executor };
}

/** Waits until the condition holds; throws after ten seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; !condition(); attempt++) {
    if (attempt > 1_000) throw new Error("it took too long");
    await systemClock.sleep(10);
  }
}

/** The driver on an empty host. */
export async function openDetached(): Promise<DriverBench> {
  const root = mkdtempSync(join(tmpdir(), "pgherd-driver-"));
  chmodSync(root, 0o755);
  const executor = new LocalExecutor("h1", systemClock);
  const context: StepContext = {
    executor,
    host: {
      hostId: "h1",
      dataDir: join(root, "lib"),
      runDir: join(root, "run"),
      instanceDir: join(root, "pg"),
      postgresUser,
    },
    signal: new AbortController().signal,
    log: () => undefined,
  };
  const driver = driverByName("detached", registryDeps(context), false);
  if (!driver) throw new Error("no driver");
  const find = (role: string) =>
    listProcesses().find(({ pid, state }) => {
      const argv = readArguments(pid);
      return state !== "Z" && argv.at(-3) === role && argv.at(-1)?.startsWith(root);
    });
  const kill = async (role: string) => {
    const found = find(role);
    if (found) sendSignal(found.pid, "SIGKILL");
    await until(() => find(role)?.pid !== found?.pid || !found);
  };
  return {
    driver,
    context,
    identity: (role) => {
      let found = find(role);
      // For a moment after it was started a process has no arguments yet (execve(2)).
      for (let attempt = 0; !found && attempt < 20; attempt++) {
        Bun.sleepSync(2);
        found = find(role);
      }
      return found && `${found.pid}@${found.startTicks}`;
    },
    crash: kill,
    exists: async (path) => existsSync(path),
    until,
    close: async () => {
      await kill("keeper");
      await kill("fencer");
      rmSync(root, { recursive: true, force: true });
    },
  };
}
