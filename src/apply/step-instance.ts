// Steps of an instance itself: its configuration, and its restart, stop and start on request.
import { must } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { copyStepTimeoutMs, instanceReportStaleMs, instanceStopTimeoutMs } from "../base/limits.ts";
import { instanceInputs } from "../plan/inputs.ts";
import type { InstanceConfig, InstanceReport } from "../spec/instance-config.ts";
import { loadInstance, loadReport, type ObservedInstance } from "../store/instances.ts";
import { hasApplied, waitApplied, wantedConfig, writeConfig } from "./instance-config.ts";
import type { StepDeps, StepHandler } from "./step-deps.ts";
import { askKeepers } from "./step-intent.ts";
import { askAndWait } from "./step-request.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

export const instanceStep: StepHandler = {
  async ensure(run, deps) {
    const { step, plan } = run;
    const config = await wantedConfig(step, plan, deps);
    await writeConfig(run, deps, config);
    const report = await waitApplied(run, deps, config);
    if (!needsOtherPrograms(run, report)) return;
    await askAndWait(run, deps, { kind: "restart", reason: "other programs of PostgreSQL" });
    await waitApplied(run, deps, config);
  },
  /** Stops PostgreSQL in order. A keeper that does not answer is no obstacle: its removal ends whatever runs. */
  async remove(run, deps) {
    const instance = await loadInstance(deps.store.db, run.step.resource.id);
    if (!instance?.config) return;
    const config: InstanceConfig = {
      ...instance.config,
      run: "stopped",
      generation: run.plan.generation,
    };
    await writeConfig(run, deps, config);
    const stopped = await waitStopped(run, deps, config);
    if (!stopped) run.log("the keeper did not confirm the stop and is removed with what it runs");
  },
};

/** The plan announced a restart for programs of another version or place, and those do not run yet. */
function needsOtherPrograms({ step }: StepRun, report: InstanceReport): boolean {
  if (!step.restarts || step.action !== "update") return false;
  if (step.changes.some(({ path }) => path === "/bin_dir")) return true;
  const { postgres_version } = instanceInputs(step.resource);
  const changed = step.changes.some(({ path }) => path === "/postgres_version");
  return changed && report.postgres_version !== postgres_version;
}

/** PostgreSQL of the instance restarts, whether or not settings wait for it. */
export async function restartInstance(run: StepRun, deps: StepDeps): Promise<void> {
  const instance = await existing(run, deps);
  await askAndWait(run, deps, { kind: "restart", reason: "requested" });
  await waitApplied(run, deps, instance.config);
}

/** The data of a standby is copied anew; it counts as done when it streams again. */
export async function reinitializeInstance(run: StepRun, deps: StepDeps): Promise<void> {
  const { config } = await existing(run, deps);
  const node = must(run.step.resource.nodeName, "node of an instance");
  const payload = {
    kind: "reinitialize",
    instance_id: config.instance_id,
    from: run.step.from ?? null,
  } as const;
  await askKeepers(run, deps, { node, timeoutMs: copyStepTimeoutMs, payload: async () => payload });
  await waitApplied(run, deps, config);
}

/** A standby's data is turned back, or needs no turning; the log says which. Done when it streams. */
export async function rewindInstance(run: StepRun, deps: StepDeps): Promise<void> {
  const { config } = await existing(run, deps);
  const node = must(run.step.resource.nodeName, "node of an instance");
  const payload = { kind: "rewind", instance_id: config.instance_id } as const;
  await askKeepers(run, deps, { node, timeoutMs: copyStepTimeoutMs, payload: async () => payload });
  await waitApplied(run, deps, config);
}

/** The instance stops, or starts, and stays so: the configuration says it. */
export async function setRunning(
  run: StepRun,
  deps: StepDeps,
  wanted: InstanceConfig["run"],
): Promise<void> {
  const { config } = await existing(run, deps);
  const next: InstanceConfig = { ...config, run: wanted, generation: run.plan.generation };
  await writeConfig(run, deps, next);
  await waitApplied(run, deps, next);
}

async function existing(
  run: StepRun,
  deps: StepDeps,
): Promise<ObservedInstance & { readonly config: InstanceConfig }> {
  const { id } = run.step.resource;
  const instance = await loadInstance(deps.store.db, id);
  if (!instance?.config) throw new AppError("terminal", `instance ${id} does not exist`);
  return { ...instance, config: instance.config };
}

/** Whether the keeper confirmed the stop. Gives up when its reports cease or after instanceStopTimeoutMs. */
async function waitStopped(run: StepRun, deps: StepDeps, config: InstanceConfig): Promise<boolean> {
  const { store, clock } = deps;
  const endMs = clock.monotonicMs() + instanceStopTimeoutMs;
  return waitUntil({
    clock,
    signal: run.signal,
    missing: () => `the keeper of ${config.instance_id} to stop PostgreSQL`,
    look: async () => {
      const report = await loadReport(store.display, config.instance_id);
      if (report && hasApplied(report, config)) return true;
      const alive = report !== undefined && isFresh(report, clock.nowMs());
      return alive && clock.monotonicMs() < endMs ? undefined : false;
    },
  });
}

/** Whether the keeper reported not long ago. */
export function isFresh(report: InstanceReport, nowMs: number): boolean {
  return nowMs - report.observed_at_ms <= instanceReportStaleMs;
}
