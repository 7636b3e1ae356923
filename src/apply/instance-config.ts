// Writing what a keeper should follow, and waiting until it says that it does.
import { AppError } from "../base/errors.ts";
import { instanceErrorSettleMs, standbyErrorSettleMs, stepTimeoutMs } from "../base/limits.ts";
import { instanceConfig, instanceInputs } from "../plan/inputs.ts";
import { restAuthentication } from "../plan/requests.ts";
import type { Plan, Step } from "../plan/resource.ts";
import type { InstanceConfig, InstanceReport } from "../spec/instance-config.ts";
import { generationGuard, loadDatabase } from "../store/databases.ts";
import { loadInstance, loadReport, saveConfig } from "../store/instances.ts";
import type { StepDeps } from "./step-deps.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

/** What a step of an instance leads to. Plans hold no verifiers: they come from the spec that the plan was made from. */
export async function wantedConfig(
  { resource, generation, restarts }: Step,
  plan: Plan,
  { store, sealer }: StepDeps,
): Promise<InstanceConfig> {
  const config = instanceConfig(resource, generation ?? plan.generation, restarts);
  if (instanceInputs(resource).rest_authentication === undefined) return config;
  const database = await loadDatabase(store.db, sealer, plan.databaseId);
  if (!database) throw new AppError("terminal", `database ${plan.databaseId} does not exist`);
  return { ...config, rest_authentication: restAuthentication(resource, database.spec) };
}

/** Gives the keeper the configuration, unless it has one of this generation already. */
export async function writeConfig(
  run: StepRun,
  deps: StepDeps,
  config: InstanceConfig,
): Promise<void> {
  const { store, clock, ids } = deps;
  const { databaseId, generation } = run.plan;
  const outcome = await store.commit({
    opId: ids.uuid(),
    guards: [run.guard, generationGuard(store.db, databaseId, generation)],
    statements: [saveConfig(store.db, config, clock.nowMs())],
  });
  if (!outcome.ok) throw new AppError("terminal", `the plan is outdated (${outcome.conflict})`);
  if (outcome.repeated || outcome.changed[0] === 1) return;
  const stored = await loadInstance(store.db, config.instance_id);
  if (!stored) throw new AppError("terminal", `instance ${config.instance_id} does not exist`);
  if (stored.generation !== config.generation) {
    throw new AppError("terminal", `instance ${config.instance_id} has a newer configuration`);
  }
}

/**
 * Waits until the keeper has applied the configuration and PostgreSQL runs, or is stopped, as it says. A standby
 * counts when it streams; until then it may copy data for hours, as long as its keeper reports.
 */
export async function waitApplied(
  run: StepRun,
  deps: StepDeps,
  config: InstanceConfig,
): Promise<InstanceReport> {
  const { store, clock } = deps;
  const watch = new ReportWatch(run);
  return waitUntil({
    clock,
    signal: run.signal,
    missing: () => watch.text(config),
    look: async () => {
      const report = await loadReport(store.display, config.instance_id);
      watch.see(report, clock.monotonicMs());
      if (report && hasApplied(report, config)) return report;
      const nowMs = clock.monotonicMs();
      const lasting = watch.lastingError(config, nowMs) ?? watch.overdue(config, nowMs);
      if (lasting !== undefined) throw new AppError("terminal", lasting);
      return undefined;
    },
  });
}

/** Whether the report says that the configuration is in effect. */
export function hasApplied(report: InstanceReport, config: InstanceConfig): boolean {
  const applied =
    report.applied_generation >= config.generation && report.postgres_state === config.run;
  return applied && (config.run === "stopped" || config.ha === undefined || hasItsPlace(report));
}

/** Whether a member of a group is what it should be: the primary, or a standby that follows it. */
export function hasItsPlace({ role, replication_state }: InstanceReport): boolean {
  return role === "primary" || (role === "replica" && replication_state === "streaming");
}

/** Follows the reports of one instance: logs changes, and notices an error that does not go away. */
class ReportWatch {
  readonly #run: StepRun;
  #last: InstanceReport | undefined;
  #error: { readonly text: string; readonly sinceMs: number } | undefined;
  /** The last sign of a copy that goes on. */
  #copied: { readonly observedAtMs: number; readonly seenMs: number } | undefined;

  constructor(run: StepRun) {
    this.#run = run;
  }

  see(report: InstanceReport | undefined, nowMs: number): void {
    if (report && this.#last && report.postgres_state !== this.#last.postgres_state) {
      this.#run.log(`PostgreSQL is ${report.postgres_state}`, { decision: report.decision });
    }
    this.#last = report;
    const text = report?.error;
    if (text === undefined) this.#error = undefined;
    else if (this.#error?.text !== text) this.#error = { text, sinceMs: nowMs };
  }

  lastingError(config: InstanceConfig, nowMs: number): string | undefined {
    const report = this.#last;
    if (!report || !this.#error || report.applied_generation >= config.generation) return undefined;
    // PostgreSQL itself refused this configuration: waiting changes nothing.
    if (report.refused_generation === config.generation) return this.#error.text;
    const settleMs = config.ha === undefined ? instanceErrorSettleMs : standbyErrorSettleMs;
    return nowMs - this.#error.sinceMs >= settleMs ? this.#error.text : undefined;
  }

  /** The step has time for a copy, but nothing was copied for as long as any other step may take. */
  overdue(config: InstanceConfig, nowMs: number): string | undefined {
    if (config.ha === undefined) return undefined;
    const observedAtMs = this.#last?.observed_at_ms ?? 0;
    const copies = this.#last?.postgres_state === "creating replica";
    if (this.#copied === undefined || (copies && this.#copied.observedAtMs !== observedAtMs)) {
      this.#copied = { observedAtMs, seenMs: nowMs };
    }
    return nowMs - this.#copied.seenMs < stepTimeoutMs ? undefined : this.text(config);
  }

  text(config: InstanceConfig): string {
    const report = this.#last;
    if (!report) return `the keeper of ${config.instance_id} has not reported`;
    const error = report.error === undefined ? "" : `: ${report.error}`;
    const place =
      config.ha === undefined
        ? ""
        : ` as ${report.role}, ${report.replication_state ?? "not streaming"}`;
    return (
      `the keeper of ${config.instance_id} reports ${report.postgres_state} ` +
      `at generation ${report.applied_generation} of ${config.generation}${place}${error}`
    );
  }
}
