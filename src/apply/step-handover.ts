// Steps that make another instance the primary of a node. The keepers do it: the step asks them once, as an intent of
// its own id, and follows that to its end. Already done, or done by a failover meanwhile, is done.
import { must } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { handoverLateMsMax, handoverTimeoutMs, instanceReportStaleMs } from "../base/limits.ts";
import type { LeaseRow } from "../ha/lease.ts";
import type { IntentPayload } from "../ha/state.ts";
import { primaryInputs } from "../plan/inputs.ts";
import { judge, type Standby } from "../plan/successor.ts";
import { loadLease, loadNodes } from "../store/ha-nodes.ts";
import { listInstances, loadReport } from "../store/instances.ts";
import { loadTask } from "../store/tasks.ts";
import type { StepDeps, StepHandler } from "./step-deps.ts";
import { askKeepers, wasAsked } from "./step-intent.ts";
import type { StepRun } from "./task-run.ts";
import { waitUntil } from "./wait-until.ts";

export const primaryStep: StepHandler = {
  async ensure(run, deps) {
    const node = must(run.step.resource.nodeName, "node of a primary");
    const { candidates } = primaryInputs(run.step.resource);
    if (!(await wasAsked(run, deps))) {
      const lease = await loadLease(deps.store.db, run.plan.databaseId, node);
      if (isOpenFor(lease, candidates)) {
        run.log(`${lease?.holder} is the primary of ${node} already`);
        return;
      }
      await checkTime(run, deps);
    }
    await askKeepers(run, deps, {
      node,
      timeoutMs: handoverTimeoutMs,
      payload: () => chosen(run, deps, node),
    });
    const holder = await waitForPrimary(run, deps, node, candidates);
    run.log(`${holder} is the primary of ${node}`);
  },
  async remove() {},
};

/** One that should have been made long ago would surprise everybody. */
async function checkTime(run: StepRun, { store, clock }: StepDeps): Promise<void> {
  const dueMs = (await loadTask(store.db, run.taskId))?.work.notBeforeMs;
  if (dueMs === undefined || clock.nowMs() - dueMs <= handoverLateMsMax) return;
  throw new AppError("terminal", "its time has passed while nobody could make the change");
}

/** The best candidate of this moment. */
async function chosen(run: StepRun, deps: StepDeps, node: string): Promise<IntentPayload> {
  const { store, clock } = deps;
  const { databaseId } = run.plan;
  const inputs = primaryInputs(run.step.resource);
  const [nodes, instances] = await Promise.all([
    loadNodes(store.db, databaseId),
    listInstances(store.db, databaseId),
  ]);
  const rows = nodes.get(node);
  const holder = rows?.lease?.holder ?? null;
  const ofNode = instances.filter(({ nodeName }) => nodeName === node);
  const settings = ofNode.find(({ config }) => config?.ha)?.config?.ha;
  const standbys = ofNode
    .filter(({ id }) => inputs.candidates.includes(id) && id !== holder)
    .map(({ id, report }): Standby => {
      const member = rows?.members.get(id);
      return {
        instanceId: id,
        ...(report ? { report } : {}),
        isFresh:
          report !== undefined && clock.nowMs() - report.observed_at_ms <= instanceReportStaleMs,
        ...(member ? { member } : {}),
        tags: settings?.members.find(({ instance_id }) => instance_id === id)?.tags ?? {},
      };
    });
  const judged = judge(standbys, {
    lease: rows?.lease,
    maximumLagBytes: settings?.settings.maximum_lag_bytes ?? 0,
    anyLag: inputs.any_lag,
  });
  const [best] = judged;
  if (best === undefined || best.problem !== undefined) {
    const why = judged.map(({ instanceId, problem }) => `${instanceId}: ${problem}`).join("; ");
    throw new AppError("terminal", `no instance of ${node} can become primary: ${why}`);
  }
  run.log(`${best.instanceId} should become the primary of ${node}`, {
    ...(holder === null ? {} : { from: holder }),
    ...(best.lagBytes === undefined ? {} : { lag_bytes: Number(best.lagBytes) }),
  });
  return run.step.action === "failover"
    ? { kind: "failover", to: best.instanceId }
    : { kind: "switchover", from: holder, to: best.instanceId };
}

/**
 * What was reported as done is read back: one of the candidates holds the lease, is open for writes, and reports it, so
 * that what a user reads next is true.
 */
async function waitForPrimary(
  run: StepRun,
  { store, clock }: StepDeps,
  node: string,
  candidates: readonly string[],
): Promise<string> {
  let seen: LeaseRow | undefined;
  return waitUntil({
    clock,
    signal: run.signal,
    missing: () => `the primary of ${node} is ${seen?.holder ?? "nobody"} (${seen?.phase})`,
    look: async () => {
      seen = await loadLease(store.display, run.plan.databaseId, node);
      const holder = isOpenFor(seen, candidates) ? seen?.holder : undefined;
      const report = holder ? await loadReport(store.display, holder) : undefined;
      return report?.role === "primary" ? report.instance_id : undefined;
    },
  });
}

function isOpenFor(lease: LeaseRow | undefined, candidates: readonly string[]): boolean {
  return lease?.phase === "open" && lease.holder !== null && candidates.includes(lease.holder);
}
