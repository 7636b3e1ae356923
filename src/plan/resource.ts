// The vocabulary of plans: resources that should exist, and the ordered steps that get there.
import type { Json, JsonObject } from "../base/json.ts";

/** Kinds of resources; each is ensured and removed by one handler of apply/steps.ts or of the driver. */
export const RESOURCE_KINDS = [
  "filesystem.dir",
  "common.postgres_certs",
  "instance.keeper",
  "database.instance",
  "database.script",
  "database.roles",
  "database.postgres_database",
  "database.slots",
  "database.primary",
  "monitor.instance",
] as const;
export type ResourceKind = (typeof RESOURCE_KINDS)[number];

/** `<kind>::<id>`, as it appears in task logs. */
export type ResourceKey = string;

/** One thing that should exist. Pure data; `inputs` decides whether it changed, and never holds a clear-text secret. */
export interface Resource {
  readonly kind: ResourceKind;
  readonly id: string;
  /** The host whose executor or keeper does the work. */
  readonly hostId: string;
  /** The instance it belongs to, when it belongs to one. */
  readonly instanceId?: string;
  readonly nodeName?: string;
  readonly inputs: JsonObject;
  /** Keys of resources that must be there before this one, and removed after it. */
  readonly dependsOn: readonly ResourceKey[];
}

/** A resource as the last plan left it. */
export interface StoredResource extends Resource {
  readonly state: "applied" | "failed" | "needs_recreate";
  readonly error?: string;
}

export type StepAction =
  | "create"
  | "update"
  | "delete"
  | "restart"
  | "stop"
  | "start"
  | "reload"
  | "checkpoint"
  | "reinitialize"
  | "rewind"
  | "switchover"
  | "failover";

export type StepReason =
  | "does_not_exist"
  | "needs_recreate"
  | "has_error"
  | "force_update"
  | "dependency_updated"
  | "has_diff"
  | "not_wanted"
  | "requested"
  | "makes_way";

/** One change of one input: a JSON pointer and both values; secrets never appear because inputs hold none. */
export interface InputChange {
  readonly path: string;
  readonly before?: Json;
  readonly after?: Json;
}

/** One idempotent piece of work. */
export interface Step {
  /** Unique within the plan and ordered as text, e.g. "03-database.instance::shop-n1-0f3k2m1q". */
  readonly id: string;
  readonly action: StepAction;
  readonly resource: Resource;
  readonly reason: StepReason;
  readonly changes: readonly InputChange[];
  /** Of the configuration that the step writes, where a later stage of the plan writes another; absent = the plan's. */
  readonly generation?: number;
  /** Step ids that must have finished before. */
  readonly after: readonly string[];
  /** Instance to copy data from, where that was asked for. */
  readonly from?: string;
  /** PostgreSQL of this instance restarts in this step. */
  readonly restarts: boolean;
  readonly timeoutMs: number;
}

export type PlanKind =
  | "create"
  | "update"
  | "delete"
  | "restart_instance"
  | "stop_instance"
  | "start_instance"
  | "reload_instance"
  | "checkpoint_instance"
  | "reinitialize_instance"
  | "rewind_instance"
  | "switchover"
  | "failover";

/** Immutable: made from one spec generation, refused when that is no longer current. */
export interface Plan {
  readonly kind: PlanKind;
  readonly databaseId: string;
  /** Generation of the database that this plan leads to. */
  readonly generation: number;
  readonly parentGeneration: number;
  readonly steps: readonly Step[];
  readonly restarts: readonly string[];
  readonly switchovers: readonly string[];
  /** Expected time without writes, milliseconds, per node; empty when none. */
  readonly writeGapMs: Readonly<Record<string, number>>;
}

export function resourceKey(resource: {
  readonly kind: ResourceKind;
  readonly id: string;
}): ResourceKey {
  return `${resource.kind}::${resource.id}`;
}
