// What no plan does, because it would lose data or leave a server that cannot start.
import type { Diagnostic } from "../base/result.ts";
import { checkParameterNames } from "../postgres/guc.ts";
import { instanceId } from "../spec/ids.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { DesiredInput } from "./draft.ts";
import { instancesInUse } from "./policy.ts";

/** All reasons against planning this input; empty when there are none. */
export function refusals(input: DesiredInput): readonly Diagnostic[] {
  return [...lostNodes(input), ...wrongParameters(input)];
}

/**
 * A node in use whose instances would all be replaced by empty ones because none of their hosts is there to copy from,
 * or one that has a primary but was never finished, so that there may be nothing to copy.
 */
function lostNodes({ databaseId, nodes, stored, leased, hosts }: DesiredInput): Diagnostic[] {
  const usable = new Set(instancesInUse(stored).map(({ id }) => id));
  const known = new Set(hosts.map(({ id }) => id));
  const holding = stored.filter(
    ({ kind, nodeName }) => kind === "database.instance" && leased.has(nodeName ?? ""),
  );
  const there = new Map([...instancesInUse(stored), ...holding].map((one) => [one.id, one]));
  const existing = Map.groupBy(there.values(), ({ nodeName }) => nodeName ?? "");
  return nodes.flatMap((node, index) => {
    const before = existing.get(node.name) ?? [];
    const kept = new Set<string>(node.hostIds.map((id) => instanceId(databaseId, node.name, id)));
    if (before.length === 0 || before.some(({ id }) => kept.has(id))) return [];
    if (before.some(({ id, hostId }) => usable.has(id) && known.has(hostId))) return [];
    const hosts = before.map(({ hostId }) => hostId).join(", ");
    return [
      {
        path: `nodes[${index}].host_ids`,
        code: "data_loss",
        message: `node ${node.name} would lose all its instances (${hosts}) and its data with them`,
        hint: "keep one of its hosts, or delete the node and add it under another name",
      },
    ];
  });
}

/** Names of settings that the server of a node would not start with, reported where the user wrote them. */
function wrongParameters({ spec, nodes }: DesiredInput): Diagnostic[] {
  const shared = Object.keys(spec.postgresql_conf ?? {});
  const majors = [...new Set(nodes.map(majorOf))];
  const problems = [
    ...majors.flatMap((major) => checkParameterNames(shared, major, "postgresql_conf")),
    ...spec.nodes.flatMap((node, index) => {
      const major = nodes[index] === undefined ? 0 : majorOf(nodes[index]);
      const names = Object.keys(node.postgresql_conf ?? {});
      return checkParameterNames(names, major, `nodes[${index}].postgresql_conf`);
    }),
  ];
  const byText = new Map(
    problems.map((problem) => [`${problem.path} ${problem.message}`, problem]),
  );
  return [...byText.values()];
}

function majorOf(node: ResolvedNode): number {
  return Number.parseInt(node.postgresVersion ?? "0", 10);
}
