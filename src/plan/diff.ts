// Compares what should be with what was left by the last plan and what is seen now, and says why each thing changes.
import { type Json, type JsonObject, jsonEqual } from "../base/json.ts";
import type { ObservedDatabase } from "./observed.ts";
import {
  type InputChange,
  type Resource,
  type ResourceKey,
  type ResourceKind,
  resourceKey,
  type StepReason,
  type StoredResource,
} from "./resource.ts";

/** A resource that needs work. */
export interface Change {
  readonly action: "create" | "update" | "delete" | "switchover";
  readonly resource: Resource;
  readonly reason: StepReason;
  readonly changes: readonly InputChange[];
}

export interface DiffInput {
  /** In dependency order. */
  readonly desired: readonly Resource[];
  readonly stored: readonly StoredResource[];
  readonly observed: ObservedDatabase;
  /** Everything that stays is updated although nothing differs. */
  readonly forceUpdate: boolean;
}

/**
 * Kinds whose work depends on what another kind contains, not only on its being there: new certificates are loaded
 * by a reload, and a new keeper has to take over the configuration and to report that it did.
 */
const FOLLOWS: Partial<Readonly<Record<ResourceKind, readonly ResourceKind[]>>> = {
  "database.instance": ["common.postgres_certs", "instance.keeper"],
};

/** Done once per instance and never again, not even when the text changed; forgotten with their instance. */
const ONCE: ReadonlySet<ResourceKind> = new Set<ResourceKind>(["database.script"]);

/** What has to change: wanted resources in the order of `desired`, then the unwanted ones in the order of `stored`. */
export function diffResources(input: DiffInput): readonly Change[] {
  const stored = new Map(input.stored.map((resource) => [resourceKey(resource), resource]));
  const changed = new Map<ResourceKey, ResourceKind>();
  const wanted: Change[] = [];
  for (const resource of input.desired) {
    const key = resourceKey(resource);
    const change = changeOf(resource, stored.get(key), changed, input);
    if (change === undefined) continue;
    changed.set(key, resource.kind);
    wanted.push(change);
  }
  return [...wanted, ...unwanted(input)];
}

function changeOf(
  resource: Resource,
  stored: StoredResource | undefined,
  changed: ReadonlyMap<ResourceKey, ResourceKind>,
  input: DiffInput,
): Change | undefined {
  if (stored === undefined) return created(resource, "does_not_exist");
  if (stored.state === "needs_recreate" || isGone(resource, input.observed)) {
    return created(resource, "needs_recreate");
  }
  if (isDone(resource, stored)) return undefined;
  const changes = inputChanges(stored, resource);
  const reason = updateReason(resource, stored, changes, changed, input);
  return reason === undefined ? undefined : { action: "update", resource, reason, changes };
}

function updateReason(
  resource: Resource,
  stored: StoredResource,
  changes: readonly InputChange[],
  changed: ReadonlyMap<ResourceKey, ResourceKind>,
  input: DiffInput,
): StepReason | undefined {
  if (stored.state === "failed") return "has_error";
  if (changes.length > 0) return "has_diff";
  const follows = FOLLOWS[resource.kind] ?? [];
  const followed = resource.dependsOn.some((key) => {
    const kind = changed.get(key);
    return kind !== undefined && follows.includes(kind);
  });
  if (input.forceUpdate) return "force_update";
  return followed ? "dependency_updated" : undefined;
}

function created(resource: Resource, reason: StepReason): Change {
  return { action: "create", resource, reason, changes: [] };
}

function isDone(resource: Resource, stored: StoredResource): boolean {
  const sameInstance = resource.instanceId === stored.instanceId;
  return ONCE.has(resource.kind) && stored.state === "applied" && sameInstance;
}

function isGone(resource: Resource, observed: ObservedDatabase): boolean {
  return (
    resource.kind === "instance.keeper" &&
    resource.instanceId !== undefined &&
    observed.absentKeepers.has(resource.instanceId)
  );
}

function unwanted({ desired, stored }: DiffInput): readonly Change[] {
  const keys = new Set(desired.map(resourceKey));
  const instances = new Set(desired.flatMap(({ instanceId }) => instanceId ?? []));
  const isKept = (resource: StoredResource): boolean =>
    keys.has(resourceKey(resource)) ||
    (ONCE.has(resource.kind) && instances.has(resource.instanceId ?? ""));
  return stored
    .filter((resource) => !isKept(resource))
    .map((resource) => ({ action: "delete", resource, reason: "not_wanted", changes: [] }));
}

/** Where the resource is, and every input that differs, as JSON pointers (RFC 6901) in the order of their names. */
function inputChanges(before: Resource, after: Resource): readonly InputChange[] {
  const moved: readonly InputChange[] =
    before.hostId === after.hostId
      ? []
      : [{ path: "/host_id", before: before.hostId, after: after.hostId }];
  return [...moved, ...objectChanges("", before.inputs, after.inputs)];
}

function objectChanges(path: string, before: JsonObject, after: JsonObject): InputChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) => {
    const pointer = `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return valueChanges(pointer, before[name], after[name]);
  });
}

/** Objects are compared field by field; lists are shown whole, because their order has a meaning. */
function valueChanges(
  path: string,
  before: Json | undefined,
  after: Json | undefined,
): InputChange[] {
  if (before !== undefined && after !== undefined && jsonEqual(before, after)) return [];
  if (isObject(before) && isObject(after)) return objectChanges(path, before, after);
  if (before === undefined && after === undefined) return [];
  return [
    {
      path,
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    },
  ];
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
