// The last step of an instance: what users read about it right after the task must be true.
import { must } from "../base/assert.ts";
import { type MonitorInputs, monitorInputs } from "../plan/inputs.ts";
import { loadInstance, type ObservedInstance } from "../store/instances.ts";
import { hasItsPlace } from "./instance-config.ts";
import type { StepHandler } from "./step-deps.ts";
import { isFresh } from "./step-instance.ts";
import { waitUntil } from "./wait-until.ts";

export const monitorStep: StepHandler = {
  async ensure(run, { store, clock }) {
    const id = must(run.step.resource.instanceId, "instance of a monitor");
    const wanted = monitorInputs(run.step.resource);
    let problem: string | undefined = "there is no report";
    await waitUntil({
      clock,
      signal: run.signal,
      missing: () => `instance ${id} is not as it should be: ${problem}`,
      look: async () => {
        const instance = await loadInstance(store.display, id);
        problem = problemOf(instance, wanted.role, clock.nowMs());
        if (problem === undefined && instance?.config?.port !== wanted.port) {
          problem = `its port is ${instance?.config?.port}, not ${wanted.port}`;
        }
        return problem === undefined ? true : undefined;
      },
    });
  },
  async remove() {},
};

function problemOf(
  instance: ObservedInstance | undefined,
  wanted: MonitorInputs["role"],
  nowMs: number,
): string | undefined {
  const report = instance?.report;
  if (!report) return "there is no report";
  if (!isFresh(report, nowMs)) return "its last report is old";
  if (report.postgres_state !== "running") return `PostgreSQL is ${report.postgres_state}`;
  if (wanted === "member") {
    return hasItsPlace(report) ? undefined : `it is a ${report.role} that does not stream`;
  }
  const role = wanted === "primary" ? "primary" : "replica";
  return report.role === role ? undefined : `its role is ${report.role}, not ${role}`;
}
