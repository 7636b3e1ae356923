// Size of a host as its kernel tells it. In a container its limits count, not the machine around it.
import { AppError } from "../base/errors.ts";
import type { StepContext } from "../orchestrator/driver.ts";

type Executor = StepContext["executor"];

export interface HostSize {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** CPUs and memory. Throws a terminal AppError where /proc/meminfo does not tell. */
export async function readHostSize(executor: Executor, signal: AbortSignal): Promise<HostSize> {
  const total = /^MemTotal:\s+(\d+) kB/m.exec(
    (await read(executor, "/proc/meminfo", signal)) ?? "",
  );
  if (total?.[1] === undefined) throw new AppError("terminal", "/proc/meminfo has no MemTotal");
  const machineBytes = Number(total[1]) * 1024;
  const limitBytes = await memoryLimit(executor, signal);
  return {
    cpus: await countCpus(executor, signal),
    memoryBytes: Math.min(machineBytes, limitBytes ?? machineBytes),
  };
}

/** nproc(1) heeds the affinity of the process; the quota of a container is on top of that. */
async function countCpus(executor: Executor, signal: AbortSignal): Promise<number> {
  const counted = await executor.run({ argv: ["nproc"] }, { signal });
  const cpus = Number.parseInt(counted.stdout, 10);
  if (counted.exitCode !== 0 || !(cpus > 0)) {
    throw new AppError("terminal", "nproc does not tell the number of CPUs");
  }
  const quota = /^(\d+) (\d+)/.exec((await read(executor, "/sys/fs/cgroup/cpu.max", signal)) ?? "");
  if (!quota) return cpus;
  return Math.min(cpus, Math.max(1, Math.ceil(Number(quota[1]) / Number(quota[2]))));
}

/** memory.max exists only below the root of the hierarchy, that is inside a container (cgroups(7)). */
async function memoryLimit(executor: Executor, signal: AbortSignal): Promise<number | undefined> {
  const limit = Number.parseInt(
    (await read(executor, "/sys/fs/cgroup/memory.max", signal)) ?? "",
    10,
  );
  return limit > 0 ? limit : undefined;
}

async function read(
  executor: Executor,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const content = await executor.get(path, { signal });
  return content && new TextDecoder().decode(content);
}
