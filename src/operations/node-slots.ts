// GET, POST and DELETE of …/nodes/{node}/slots: the slots that are there, and changes of those that the node keeps.
// A change is one of the spec, so that it outlives whoever is primary.
import { rfc3339 } from "../base/clock.ts";
import { isMemberSlot, memberSlotName } from "../postgres/replication.ts";
import type { UpdateDatabaseResponse } from "../spec/database.ts";
import type { DatabaseNodeSpec, DatabaseSpec } from "../spec/database-spec.ts";
import type { ReportedSlot } from "../spec/instance-config.ts";
import type { PlanView } from "../spec/plan-view.ts";
import type { InstanceSlots, NodeSlots, ShownSlot } from "../spec/slots.ts";
import type { DatabaseRecord } from "../store/databases.ts";
import { listInstances, type ObservedInstance } from "../store/instances.ts";
import { existingDatabase } from "./before.ts";
import { changeOf, checkRevision } from "./change-topology.ts";
import type { OperationsDeps } from "./deps.ts";
import { invalidInput, OperationError } from "./errors.ts";
import type { ChangeOfSlots, NodePlace } from "./node-operations.ts";
import { runtimeOf } from "./runtime.ts";
import { planUpdate, type UpdateRequest, updateDatabase } from "./update-database.ts";

export async function nodeSlots(deps: OperationsDeps, place: NodePlace): Promise<NodeSlots> {
  const { record, node, instances } = await look(deps, place);
  return {
    database_id: record.id,
    node_name: node.name,
    revision: record.generation,
    permanent: [...(node.slots ?? [])],
    instances: [...instances],
  };
}

export async function changeSlots(
  deps: OperationsDeps,
  change: ChangeOfSlots,
): Promise<UpdateDatabaseResponse> {
  return updateDatabase(deps, await requestOf(deps, change));
}

/** What changeSlots would do. Nothing is written. */
export async function planSlots(deps: OperationsDeps, change: ChangeOfSlots): Promise<PlanView> {
  return planUpdate(deps, await requestOf(deps, change));
}

interface Look {
  readonly record: DatabaseRecord;
  readonly node: DatabaseNodeSpec;
  readonly instances: readonly InstanceSlots[];
}

async function look(deps: OperationsDeps, { databaseId, nodeName }: NodePlace): Promise<Look> {
  const runtime = runtimeOf(deps);
  const record = await existingDatabase(runtime, databaseId);
  const node = record.spec.nodes.find(({ name }) => name === nodeName);
  if (!node) {
    const message = `database ${databaseId} has no node ${nodeName}`;
    throw invalidInput([{ path: "node_name", code: "unknown", message }]);
  }
  const all = await listInstances(runtime.store.display, databaseId);
  const ofNode = all.filter((instance) => instance.nodeName === nodeName);
  return { record, node, instances: ofNode.map((instance) => present(instance, ofNode, node)) };
}

function present(
  { id, hostId, report }: ObservedInstance,
  members: readonly ObservedInstance[],
  node: DatabaseNodeSpec,
): InstanceSlots {
  const { slots } = report ?? {};
  return {
    instance_id: id,
    host_id: hostId,
    role: report?.role ?? "unknown",
    slots: (slots?.rows ?? []).map((slot) => {
      // On a primary that was a standby the mark of a copy is left over.
      const synced = slot.synced && report?.role === "replica";
      return shown({ ...slot, synced }, members, node);
    }),
    ...(slots ? { seen_at: rfc3339(slots.observed_at_ms) } : {}),
  };
}

function shown(
  slot: ReportedSlot,
  members: readonly ObservedInstance[],
  node: DatabaseNodeSpec,
): ShownSlot {
  const { failover, synced, ...fields } = slot;
  const member = members.find(({ id }) => memberSlotName(id) === slot.name)?.id;
  const permanent = node.slots?.some(({ name }) => name === slot.name);
  return {
    ...fields,
    owner: isMemberSlot(slot.name) ? "member" : permanent ? "permanent" : "foreign",
    ...(member === undefined ? {} : { member }),
    ...(slot.type === "logical" ? { failover, synced } : {}),
  };
}

async function requestOf(deps: OperationsDeps, asked: ChangeOfSlots): Promise<UpdateRequest> {
  const seen = await look(deps, asked);
  checkRevision(seen.record, asked.ifRevision);
  const { change } = asked;
  const before = seen.node.slots ?? [];
  if (change.kind === "create") {
    refuseTaken(seen, change.slot.name);
    return changeOf(seen.record, withSlots(seen, [...before, change.slot]));
  }
  refuseDrop(seen, change.name);
  return changeOf(
    seen.record,
    withSlots(
      seen,
      before.filter(({ name }) => name !== change.name),
    ),
  );
}

function withSlots({ record, node }: Look, slots: DatabaseNodeSpec["slots"]): DatabaseSpec {
  const { slots: _, ...others } = node;
  const changed = slots?.length === 0 ? others : { ...others, slots };
  const nodes = record.spec.nodes.map((one) => (one.name === node.name ? changed : one));
  return { ...record.spec, nodes };
}

/** A slot of that name is wanted already, or is there although nobody asked for it here. */
function refuseTaken({ node, instances }: Look, name: string): void {
  if (node.slots?.some((slot) => slot.name === name)) {
    throw new OperationError("conflict", `node ${node.name} has a slot ${name} already`);
  }
  const primary = instances.find(({ role }) => role === "primary");
  const found = primary?.slots.find((slot) => slot.name === name);
  if (!primary || !found) return;
  const message = `${primary.instance_id} has a ${found.type} slot ${name} that somebody else made`;
  throw new OperationError("conflict", message);
}

/** Only what the spec wants can be taken out of it, and only while nobody uses it. */
function refuseDrop({ node, instances }: Look, name: string): void {
  if (isMemberSlot(name)) {
    throw new OperationError(
      "conflict",
      `slot ${name} belongs to an instance of the node: it stays`,
    );
  }
  const there = instances.flatMap((instance) =>
    instance.slots.filter((slot) => slot.name === name).map((slot) => ({ instance, slot })),
  );
  if (!node.slots?.some((slot) => slot.name === name)) {
    const [foreign] = there;
    if (!foreign) throw new OperationError("not_found", `node ${node.name} has no slot ${name}`);
    const message = `slot ${name} on ${foreign.instance.instance_id} was made by somebody else`;
    throw new OperationError("conflict", `${message}: drop it with pg_drop_replication_slot`);
  }
  const used = there.find(({ slot }) => slot.active);
  if (!used) return;
  const who = used.slot.used_by ?? "somebody";
  const message = `slot ${name} is in use on ${used.instance.instance_id} by ${who}`;
  throw new OperationError("conflict", message);
}
