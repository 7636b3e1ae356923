// Steps that the driver of a host does: directories, and the keeper with its file.
import { AppError } from "../base/errors.ts";
import { instanceInputs } from "../plan/inputs.ts";
import type { Resource, Step } from "../plan/resource.ts";
import type { KeeperFile } from "../spec/instance-config.ts";
import { listResources } from "../store/resources.ts";
import { wantedConfig, writeConfig } from "./instance-config.ts";
import { hostOf, type StepDeps, type StepHandler, type StepHost } from "./step-deps.ts";
import type { StepRun } from "./task-run.ts";

export const directoryStep: StepHandler = {
  async ensure(run, deps) {
    const { driver, context } = await hostOf(run, deps);
    await driver.ensure(run.step.resource, context);
  },
  async remove(run, deps) {
    const { driver, context } = await hostOf(run, deps);
    await driver.remove(run.step.resource, context);
  },
};

export const keeperStep: StepHandler = {
  /** A new keeper finds its configuration as soon as it starts: it is written before, not by the next step. */
  async ensure(run, deps) {
    const host = await hostOf(run, deps);
    const instance = instanceStep(run);
    if (instance && run.step.action === "create") {
      await writeConfig(run, deps, await wantedConfig(instance, run.plan, deps));
    }
    const file = await keeperFile(run, deps, host);
    await host.driver.ensure(run.step.resource, host.context, file);
  },
  async remove(run, deps) {
    const { driver, context } = await hostOf(run, deps);
    await driver.remove(run.step.resource, context);
  },
};

function instanceStep({ plan, step }: StepRun): Step | undefined {
  return plan.steps.find(
    ({ resource, action }) =>
      action !== "delete" &&
      resource.kind === "database.instance" &&
      resource.instanceId === step.resource.instanceId,
  );
}

async function keeperFile(run: StepRun, deps: StepDeps, host: StepHost): Promise<KeeperFile> {
  const inputs = instanceInputs(await instanceResource(run, deps));
  const placement = {
    instanceId: inputs.instance_id,
    databaseId: inputs.database_id,
    nodeName: inputs.node_name,
    hostId: inputs.host_id,
    postgresMajor: inputs.postgres_major,
  };
  return {
    instance_id: inputs.instance_id,
    database_id: inputs.database_id,
    node_name: inputs.node_name,
    host_id: inputs.host_id,
    layout: host.driver.layout(placement, host.facts),
    postgres_user: host.record.postgres_user,
    ...deps.keeperAccess(host.record),
  };
}

/** The keeper's instance: in the same plan, or from an earlier one. */
async function instanceResource(run: StepRun, deps: StepDeps): Promise<Resource> {
  const planned = instanceStep(run)?.resource;
  if (planned) return planned;
  const stored = await listResources(deps.store.db, run.plan.databaseId);
  const { instanceId } = run.step.resource;
  const found = stored.find(
    (resource) => resource.kind === "database.instance" && resource.instanceId === instanceId,
  );
  if (!found) throw new AppError("bug", `nothing is known of instance ${instanceId}`);
  return found;
}
