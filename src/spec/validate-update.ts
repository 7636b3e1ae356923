// Rules of a change: what a database cannot become once it exists.
import type { Diagnostic } from "../base/result.ts";
import { parseVersion } from "../postgres/version.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { type ResolvedNode, resolveNodes } from "./normalise.ts";
import { problem } from "./problem.ts";

/** Keys of a service's configuration that are read only when the service is made. */
const INITIAL_KEYS = ["init_token", "init_users"];

/**
 * Problems of replacing the stored spec by the next one, which has been through retainSecrets.
 * A tenant cannot be given to, taken from or changed for a database.
 */
export function validateUpdate(
  previous: DatabaseSpec,
  next: DatabaseSpec,
  previousTenantId: string | undefined,
  nextTenantId: string | undefined,
): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  if (previousTenantId !== nextTenantId) {
    problems.push(problem("tenant_id", "immutable", "cannot change after creation"));
  }
  if (previous.database_name !== next.database_name) {
    problems.push(problem("database_name", "immutable", "cannot change after creation"));
  }
  return [
    ...problems,
    ...checkMajors(previous, next),
    ...checkNewSources(previous, next),
    ...checkInitialKeys(previous, next),
  ];
}

/** A major version is bound to the files of an instance. */
function checkMajors(previous: DatabaseSpec, next: DatabaseSpec): readonly Diagnostic[] {
  const before = new Map(resolveNodes(previous).map((node) => [node.name, node]));
  const problems = new Map<string, Diagnostic>();
  for (const [index, node] of resolveNodes(next).entries()) {
    const old = before.get(node.name);
    if (old === undefined || !old.hostIds.some((id) => node.hostIds.includes(id))) continue;
    const [from, to] = [majorOf(old), majorOf(node)];
    if (from === undefined || to === undefined || from === to) continue;
    const own = next.nodes[index]?.postgres_version !== undefined;
    const path = own ? `nodes[${index}].postgres_version` : "postgres_version";
    const message = `instances of ${node.name} have major version ${from}, which cannot change to ${to} in place`;
    if (!problems.has(path)) problems.set(path, problem(path, "immutable", message));
  }
  return [...problems.values()];
}

function majorOf(node: ResolvedNode): number | undefined {
  return parseVersion(node.postgresVersion ?? "")?.major;
}

/** A node that is new in this change can only be copied from one that already exists. */
function checkNewSources(previous: DatabaseSpec, next: DatabaseSpec): readonly Diagnostic[] {
  const existing = previous.nodes.map(({ name }) => name);
  return next.nodes.flatMap((node, index) => {
    const source = node.source_node;
    if (source === undefined || existing.includes(node.name) || existing.includes(source))
      return [];
    const message = `${source} does not exist yet, so ${node.name} cannot be copied from it`;
    const hint = existing.length > 0 ? `existing nodes: ${existing.join(", ")}` : undefined;
    return [problem(`nodes[${index}].source_node`, "unknown", message, hint)];
  });
}

function checkInitialKeys(previous: DatabaseSpec, next: DatabaseSpec): readonly Diagnostic[] {
  const before = new Map((previous.services ?? []).map((one) => [one.service_id, one]));
  return (next.services ?? []).flatMap((service, index) => {
    const old = before.get(service.service_id);
    if (old === undefined) return [];
    return INITIAL_KEYS.filter((key) => {
      const value = service.config?.[key];
      return value !== undefined && JSON.stringify(value) !== JSON.stringify(old.config?.[key]);
    }).map((key) => {
      const message = "is read only when the service is created and cannot be given again";
      return problem(`services[${index}].config.${key}`, "immutable", message);
    });
  });
}
