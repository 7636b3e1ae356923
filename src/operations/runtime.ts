// The part of the server that exists only after init; every operation but init and version begins here.
import { must } from "../base/assert.ts";
import type { Driver } from "../orchestrator/driver.ts";
import type { HostRecord } from "../spec/host.ts";
import type { ClusterRuntime, OperationsDeps } from "./deps.ts";
import { OperationError } from "./errors.ts";

/** The runtime, or cluster_not_initialized. */
export function runtimeOf(deps: OperationsDeps): ClusterRuntime {
  const runtime = deps.runtime();
  if (runtime) return runtime;
  throw new OperationError(
    "cluster_not_initialized",
    "this server does not belong to a cluster yet: initialize one or join one",
  );
}

/** The driver of a host of the cluster. */
export function driverOf(runtime: ClusterRuntime, host: HostRecord): Driver {
  return must(runtime.driver(host.orchestrator), `driver of host ${host.id}`);
}
