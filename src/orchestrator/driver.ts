// What a driver must do: know how a keeper is run on a host. Everything about PostgreSQL is elsewhere.
import type { Executor } from "../host/executor.ts";
import type { HostFacts, InstancePlacement } from "../plan/placement.ts";
import type { Resource } from "../plan/resource.ts";
import type { InstanceLayout, KeeperFile } from "../spec/instance-config.ts";

export type { HostFacts, InstancePlacement };

export interface DriverCapabilities {
  /** cpus and memory are enforced, not only used for tuning. */
  readonly limits: boolean;
  /** A dead keeper is restarted although the server is down. */
  readonly survivesServerDown: boolean;
  readonly services: boolean;
}

export interface StepContext {
  readonly executor: Executor;
  readonly host: HostFacts;
  readonly signal: AbortSignal;
  /** One line into the task log. */
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** State of a keeper and its fencer as the host shows it. */
export interface ObservedKeeper {
  readonly instanceId: string;
  readonly keeper: "running" | "stopped" | "failed" | "absent";
  readonly fencer: "running" | "stopped" | "failed" | "absent";
}

/** A driver. `layout` and `resources` are pure; the rest acts through the executor in its context. */
export interface Driver {
  /** As shown in the host record. */
  readonly id: string;
  readonly capabilities: DriverCapabilities;
  layout(placement: InstancePlacement, host: HostFacts): InstanceLayout;
  /** filesystem.dir and instance.keeper resources of one instance, in this order. */
  resources(placement: InstancePlacement, host: HostFacts): readonly Resource[];
  /** Makes a `filesystem.dir` or `instance.keeper` resource be as its inputs say. For a keeper: `file` is its keeper file. Idempotent. */
  ensure(resource: Resource, context: StepContext, file?: KeeperFile): Promise<void>;
  /** Removes it and proves that nothing of it is left. Idempotent. */
  remove(resource: Resource, context: StepContext): Promise<void>;
  /** Keepers of this driver on the host. */
  observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]>;
  /** Watches keepers until the signal aborts: restarts the dead with backoff, adopts the living. Returns at once where the host's service manager does it. */
  supervise(context: StepContext, wanted: () => readonly string[]): Promise<void>;
}
