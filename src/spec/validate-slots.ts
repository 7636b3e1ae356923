// Rules of permanent slots: names that PostgreSQL takes, fields that go together, room for all of them, and versions
// that can keep them.
import type { Diagnostic } from "../base/result.ts";
import { isReservedSlotName, isSlotName, slotsOfStandbys } from "../postgres/replication.ts";
import { replicationSlots } from "../postgres/tunables.ts";
import type { DatabaseNodeSpec, DatabaseSpec } from "./database-spec.ts";
import { type ResolvedNode, resolveNodes } from "./normalise.ts";
import { checkUnique, problem } from "./problem.ts";
import type { SlotSpec } from "./slots.ts";
import { nameProblem } from "./validate-users.ts";

/** Slots beside those that are known: of copies that are being made, and one to spare. */
const slotsBeside = 2;

/** Problems of the slots of all nodes. */
export function checkSlots(spec: DatabaseSpec): readonly Diagnostic[] {
  const resolved = resolveNodes(spec);
  return spec.nodes.flatMap((node, index) => {
    const path = `nodes[${index}].slots`;
    const names = (node.slots ?? []).map(({ name }) => name);
    return [
      ...checkUnique(names, (at) => `${path}[${at}].name`, "slot"),
      ...(node.slots ?? []).flatMap((slot, at) => checkSlot(slot, `${path}[${at}]`)),
      ...checkRoom(spec, node, resolved[index], path),
    ];
  });
}

/** Problems with the versions of nodes, once those are known. */
export function checkSlotVersions(nodes: readonly ResolvedNode[]): readonly Diagnostic[] {
  return nodes.flatMap((node, index) => {
    const major = Number.parseInt(node.postgresVersion ?? "", 10);
    const logical = node.slots.find(({ type }) => type === "logical");
    if (!logical || node.hostIds.length < 2 || slotsOfStandbys(major) !== "none") return [];
    const message = `PostgreSQL ${major} cannot keep logical slots beyond a change of primary: ${logical.name}`;
    return [problem(`nodes[${index}].slots`, "unsupported", message, "use PostgreSQL 16 or newer")];
  });
}

function checkSlot(
  { name, type, plugin, database }: SlotSpec,
  path: string,
): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  if (!isSlotName(name)) {
    const message = "must be lower-case letters, digits and underscores";
    problems.push(problem(`${path}.name`, "malformed", message));
  } else if (isReservedSlotName(name)) {
    problems.push(
      problem(`${path}.name`, "reserved", "names that begin with pgherd_ are not free"),
    );
  }
  if (type === "physical") {
    const given = [...(plugin === undefined ? [] : ["plugin"]), ...(database ? ["database"] : [])];
    for (const field of given) {
      const message = "only logical slots have one";
      problems.push(problem(`${path}.${field}`, "conflict", message));
    }
    return problems;
  }
  if (plugin !== undefined && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(plugin)) {
    problems.push(problem(`${path}.plugin`, "malformed", "must be the name of an output plugin"));
  }
  const wrong = database === undefined ? undefined : nameProblem(database);
  if (wrong !== undefined) problems.push(problem(`${path}.database`, "malformed", wrong));
  return problems;
}

/** Every instance has a slot for every other one too. */
function checkRoom(
  spec: DatabaseSpec,
  node: DatabaseNodeSpec,
  resolved: ResolvedNode | undefined,
  path: string,
): readonly Diagnostic[] {
  const slots = node.slots ?? [];
  if (slots.length === 0 || !resolved) return [];
  const { max_replication_slots, wal_level } = resolved.postgresqlConf;
  const problems: Diagnostic[] = [];
  const room = Number(max_replication_slots ?? replicationSlots(spec.nodes.length));
  const needed = slots.length + node.host_ids.length - 1 + slotsBeside;
  if (needed > room) {
    const message = `${slots.length} slots, those of members and ${slotsBeside} to spare are ${needed}; there is room for ${room}`;
    const hint = "raise max_replication_slots in postgresql_conf";
    problems.push(problem(path, "conflict", message, hint));
  }
  const level = wal_level ?? "logical";
  if (slots.some(({ type }) => type === "logical") && level !== "logical") {
    problems.push(problem(path, "conflict", `logical slots do not work with wal_level ${level}`));
  }
  return problems;
}
