// What workers of other hosts may ask the driver of this one.
import { AppError } from "../base/errors.ts";
import type { Executor } from "../host/executor.ts";
import type { Driver, HostFacts } from "../orchestrator/driver.ts";
import { type DriverRequest, driverPaths } from "../orchestrator/driver-messages.ts";
import { withFence } from "./host-routes.ts";
import type { InternalCall, InternalRoutes } from "./internal-call.ts";
import type { PlanFences } from "./plan-fences.ts";
import type { RunningCalls } from "./running-calls.ts";

export interface DriverRoutesDeps {
  /** The one that supervises this host's keepers. */
  readonly driver: Driver;
  readonly executor: Executor;
  readonly facts: HostFacts;
  readonly calls: RunningCalls;
  readonly fences: PlanFences;
}

/** The routes of src/orchestrator/by-server.ts. */
export function driverRoutes(deps: DriverRoutesDeps): InternalRoutes {
  const { driver, executor, facts: host, fences } = deps;
  return {
    [`POST ${driverPaths.work}`]: withFence(fences, (call) => work(deps, call)),
    [`GET ${driverPaths.keepers}`]: async ({ request: { signal } }) =>
      Response.json(await driver.observe({ executor, host, signal })),
  };
}

async function work(deps: DriverRoutesDeps, call: InternalCall): Promise<Response> {
  const { driver, executor, facts: host } = deps;
  const asked: DriverRequest = JSON.parse(await call.request.text());
  if (asked.driver !== driver.id) {
    const text = `host ${executor.hostId} runs its keepers by ${driver.id}, not ${asked.driver}`;
    throw new AppError("terminal", text);
  }
  return deps.calls.serve(call, asked.id, async (say, signal) => {
    const context = {
      executor,
      host,
      signal,
      log: (message: string, fields?: Readonly<Record<string, unknown>>) =>
        say({ event: "log", message, ...(fields ? { fields: { ...fields } } : {}) }),
    };
    if (asked.verb === "remove") await driver.remove(asked.resource, context);
    else await driver.ensure(asked.resource, context, asked.file);
    return { event: "done" };
  });
}
