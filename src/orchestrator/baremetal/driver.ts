// The driver of hosts that run PostgreSQL as their own processes. Directories, keeper files and the
// order of removal are the same whether a service manager or this server keeps the processes alive.
import { AppError, inContext } from "../../base/errors.ts";
import { instanceKillTimeoutMs } from "../../base/limits.ts";
import { failureText, succeeded } from "../../host/command.ts";
import type { HostFacts, InstancePlacement } from "../../plan/placement.ts";
import { type Resource, resourceKey } from "../../plan/resource.ts";
import type { InstanceLayout, KeeperFile } from "../../spec/instance-config.ts";
import type { Driver, DriverCapabilities, ObservedKeeper, StepContext } from "../driver.ts";
import { ensureDirectories, removeDirectories } from "./ensure/directories.ts";
import { type KeeperRunner, renderKeeperFile, type WantedKeeper } from "./keeper-runner.ts";
import { instanceLayout, keeperDirectory } from "./names.ts";
import { instanceResources, keeperInputs } from "./resources.ts";

export interface BaremetalDeps {
  /** The program that is the keeper and the fencer, e.g. ["/usr/bin/pgherd"]. */
  readonly launcher: readonly [string, ...string[]];
  readonly runner: KeeperRunner;
}

export class BaremetalDriver implements Driver {
  readonly id: string;
  readonly capabilities: DriverCapabilities;
  readonly #launcher: readonly [string, ...string[]];
  readonly #runner: KeeperRunner;

  constructor(deps: BaremetalDeps) {
    this.#launcher = deps.launcher;
    this.#runner = deps.runner;
    this.id = deps.runner.id;
    this.capabilities = deps.runner.capabilities;
  }

  layout(placement: InstancePlacement, host: HostFacts): InstanceLayout {
    return instanceLayout(placement, host);
  }

  resources(placement: InstancePlacement, host: HostFacts): readonly Resource[] {
    return instanceResources(placement, host);
  }

  async ensure(resource: Resource, context: StepContext, file?: KeeperFile): Promise<void> {
    try {
      if (resource.kind === "filesystem.dir") return await ensureDirectories(resource, context);
      const wanted = wantedKeeper(resource);
      if (!file) throw new AppError("bug", "a keeper needs its keeper file");
      const changed = await putKeeperFile(wanted, file, context);
      await this.#runner.ensure(wanted, changed, context);
    } catch (error) {
      throw inContext(`ensure ${resourceKey(resource)}`, error);
    }
  }

  async remove(resource: Resource, context: StepContext): Promise<void> {
    try {
      if (resource.kind === "filesystem.dir") return await removeDirectories(resource, context);
      await this.#removeKeeper(wantedKeeper(resource), context);
    } catch (error) {
      throw inContext(`remove ${resourceKey(resource)}`, error);
    }
  }

  observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]> {
    return this.#runner.observe(context);
  }

  supervise(context: StepContext, wanted: () => readonly string[]): Promise<void> {
    return this.#runner.supervise(context, wanted);
  }

  /** Each part is gone before the next is touched: what could start postgres again ends before postgres does. */
  async #removeKeeper(wanted: WantedKeeper, context: StepContext): Promise<void> {
    const { executor, host, signal } = context;
    const { keeper_file, fencer_socket } = wanted.inputs;
    await this.#runner.stopKeeper(wanted, context);
    if (await executor.stat(keeper_file, signal)) await this.#killPostgres(keeper_file, context);
    // Without its file nobody looks after it any more, nor starts again what is ended here.
    await executor.remove(keeper_file, signal);
    await this.#runner.removeAll(wanted, context);
    for (const suffix of ["", ".lock", ".deadline"]) {
      await executor.remove(`${fencer_socket}${suffix}`, signal);
    }
    await executor.remove(keeperDirectory(host.dataDir, wanted.instanceId), signal);
  }

  /** Succeeds only when no process of the instance is left. */
  async #killPostgres(keeperFile: string, context: StepContext): Promise<void> {
    const result = await context.executor.run(
      {
        argv: [...this.#launcher, "fencer", "--file", keeperFile, "--kill"],
        timeoutMs: instanceKillTimeoutMs,
      },
      { signal: context.signal },
    );
    if (succeeded(result)) return;
    throw new AppError("retryable", `processes may be left: ${failureText(result)}`);
  }
}

function wantedKeeper(resource: Resource): WantedKeeper {
  if (resource.kind !== "instance.keeper") {
    throw new AppError("bug", `the driver does not make ${resource.kind}`);
  }
  return { instanceId: resource.id, inputs: keeperInputs(resource) };
}

/** Writes the keeper file unless it is there already; true when it was written. */
async function putKeeperFile(
  wanted: WantedKeeper,
  file: KeeperFile,
  context: StepContext,
): Promise<boolean> {
  const { executor, host, signal } = context;
  const { keeper_file } = wanted.inputs;
  if (file.layout.keeper_file !== keeper_file) {
    throw new AppError("bug", `the keeper file names another place than ${keeper_file}`);
  }
  const content = renderKeeperFile(file);
  const before = await executor.get(keeper_file, { signal });
  if (before && new TextDecoder().decode(before) === content) return false;
  await executor.mkdir(keeperDirectory(host.dataDir, wanted.instanceId), { mode: 0o700, signal });
  await executor.put(keeper_file, content, { mode: 0o600, signal });
  return true;
}
