// Rules of nodes: their names, their hosts, and where a node's data comes from.
import type { Diagnostic } from "../base/result.ts";
import type { DatabaseNodeSpec, DatabaseSpec } from "./database-spec.ts";
import { parseNodeName } from "./ids.ts";
import { checkIdentifier, checkUnique, problem } from "./problem.ts";
import { parseCpus, parseMemory } from "./quantities.ts";

/** Problems of the nodes of a spec among themselves. */
export function checkNodes(spec: DatabaseSpec): readonly Diagnostic[] {
  const names = spec.nodes.map(({ name }) => name);
  return [
    ...checkUnique(names, (index) => `nodes[${index}].name`, "node"),
    ...spec.nodes.flatMap((node, index) => [
      ...checkName(node, `nodes[${index}]`),
      ...checkHostIds(node.host_ids, `nodes[${index}]`),
      ...checkSource(spec, node, `nodes[${index}]`),
    ]),
  ];
}

/** Hosts of a node or service: possible identifiers, none twice. */
export function checkHostIds(hostIds: readonly string[], path: string): readonly Diagnostic[] {
  const pathOf = (index: number) => `${path}.host_ids[${index}]`;
  return [
    ...hostIds.flatMap((id, index) => checkIdentifier(pathOf(index), id)),
    ...checkUnique(hostIds, pathOf, "host"),
  ];
}

/** CPUs and memory of a database, node or service. */
export function checkLimits(
  level: { readonly cpus?: string; readonly memory?: string },
  prefix: string,
): readonly Diagnostic[] {
  const cpus = level.cpus === undefined ? undefined : parseCpus(level.cpus);
  const memory = level.memory === undefined ? undefined : parseMemory(level.memory);
  return [
    ...(cpus?.ok === false ? [problem(`${prefix}cpus`, "malformed", cpus.error)] : []),
    ...(memory?.ok === false ? [problem(`${prefix}memory`, "malformed", memory.error)] : []),
  ];
}

function checkName(node: DatabaseNodeSpec, path: string): readonly Diagnostic[] {
  const parsed = parseNodeName(node.name);
  return parsed.ok ? [] : [problem(`${path}.name`, "malformed", parsed.error)];
}

function checkSource(
  spec: DatabaseSpec,
  node: DatabaseNodeSpec,
  path: string,
): readonly Diagnostic[] {
  if (node.source_node === undefined) return [];
  const at = `${path}.source_node`;
  const source = spec.nodes.find(({ name }) => name === node.source_node);
  if (source === undefined) return [problem(at, "unknown", `no node is named ${node.source_node}`)];
  if (source.name === node.name) {
    return [problem(at, "conflict", "a node cannot be copied from itself")];
  }
  const problems: Diagnostic[] = [];
  if (node.restore_config !== undefined) {
    const message = "a node comes either from another node or from a backup, not from both";
    problems.push(problem(at, "conflict", message, "remove source_node or restore_config"));
  }
  if (source.source_node !== undefined) {
    const message = `${source.name} is itself copied from ${source.source_node}`;
    problems.push(problem(at, "conflict", message, `use ${source.source_node} for both`));
  }
  return problems;
}
