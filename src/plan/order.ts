// Dependency order: what is needed comes first, and otherwise everything stays in the order it was given.
import { assert } from "../base/assert.ts";
import { type Resource, type ResourceKey, resourceKey } from "./resource.ts";

/**
 * The items so that each comes after all that it depends on. Dependencies outside the list are ignored;
 * a cycle is a bug of whoever made the resources. Linear in items and dependencies, and without recursion,
 * since chains can be long.
 */
export function inDependencyOrder<T extends { readonly resource: Resource }>(
  items: readonly T[],
): readonly T[] {
  const byKey = new Map(items.map((item) => [resourceKey(item.resource), item]));
  const ordered: T[] = [];
  const state = new Map<ResourceKey, "open" | "done">();
  for (const start of byKey.keys()) {
    const path: ResourceKey[] = [start];
    for (let key = path.at(-1); key !== undefined; key = path.at(-1)) {
      const item = byKey.get(key);
      if (item === undefined || state.get(key) === "done") {
        path.pop();
      } else if (state.get(key) === "open") {
        state.set(key, "done");
        ordered.push(item);
        path.pop();
      } else {
        state.set(key, "open");
        path.push(...nextOf(item.resource, byKey, state));
      }
    }
  }
  return ordered;
}

/** Dependencies that are still to be placed, last first, because the last one pushed is placed first. */
function nextOf(
  resource: Resource,
  byKey: ReadonlyMap<ResourceKey, unknown>,
  state: ReadonlyMap<ResourceKey, "open" | "done">,
): readonly ResourceKey[] {
  const wanted = resource.dependsOn.filter((key) => byKey.has(key));
  for (const key of wanted) {
    assert(state.get(key) !== "open", `${resourceKey(resource)} and ${key} depend on each other`);
  }
  return wanted.filter((key) => !state.has(key)).reverse();
}

/**
 * For every key of `changing`: those of `changing` that must be finished before it, also through resources that do
 * not change. `resources` are all that there are, in dependency order.
 */
export function neededFirst(
  resources: readonly Resource[],
  changing: ReadonlySet<ResourceKey>,
): ReadonlyMap<ResourceKey, readonly ResourceKey[]> {
  const result = new Map<ResourceKey, readonly ResourceKey[]>();
  const reached = new Map<ResourceKey, readonly ResourceKey[]>();
  for (const resource of resources) {
    const key = resourceKey(resource);
    const before = [...new Set(resource.dependsOn.flatMap((needed) => reached.get(needed) ?? []))];
    reached.set(key, changing.has(key) ? [key] : before);
    if (changing.has(key)) result.set(key, before);
  }
  return result;
}

/** For every removed resource: the removed ones that depend on it and so go before it. */
export function dependentsFirst(
  removed: readonly Resource[],
): ReadonlyMap<ResourceKey, readonly ResourceKey[]> {
  const result = new Map<ResourceKey, ResourceKey[]>(
    removed.map((resource) => [resourceKey(resource), []]),
  );
  for (const resource of removed) {
    for (const needed of resource.dependsOn) result.get(needed)?.push(resourceKey(resource));
  }
  return result;
}
