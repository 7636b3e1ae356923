// Routes of the replication slots of a node.
import { Type } from "@sinclair/typebox";
import type { ChangeOfSlots, NodeOperations } from "../operations/node-operations.ts";
import { closed } from "../spec/closed.ts";
import { UpdateDatabaseResponse } from "../spec/database.ts";
import { PlanView } from "../spec/plan-view.ts";
import { NodeSlots, SlotSpec } from "../spec/slots.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { nodePlace } from "./nodes.ts";
import { dryRun, IfMatch, NodePath, revision } from "./parameters.ts";

export function slotEndpoints(): readonly Endpoint[] {
  return [getSlots, createSlot, dropSlot];
}

const path = "/v1/databases/{database_id}/nodes/{node_name}/slots";
const change = {
  tag: "Database",
  headers: IfMatch,
  query: closed({ dry_run: dryRun }),
  answers: { 200: Type.Union([UpdateDatabaseResponse, PlanView]) },
  errors: [400, 404, 409, 412],
} as const;

const getSlots = endpoint({
  method: "GET",
  path,
  operationId: "get-slots",
  tag: "Database",
  summary: "Replication slots of all instances of a node",
  description:
    "As their keepers saw them last, beside those that the node keeps whoever is primary.",
  params: NodePath,
  answers: { 200: NodeSlots },
  errors: [400, 404, 409],
  async handle({ operations, params }) {
    const slots = await operations.nodes.slots(nodePlace(params));
    return Response.json(slots, { headers: { etag: `"${slots.revision}"` } });
  },
});

const createSlot = endpoint({
  ...change,
  method: "POST",
  path,
  operationId: "create-slot",
  summary: "Keep a replication slot on a node, whoever is primary",
  description:
    "A change of the spec. The task ends when the primary was seen to have the slot; standbys keep a physical one " +
    "as far as the primary's, and copies of a logical one.",
  params: NodePath,
  body: SlotSpec,
  handle: ({ operations, params, query, body, headers }) =>
    changed(operations.nodes, query.dry_run, {
      ...nodePlace(params),
      change: { kind: "create", slot: body },
      ifRevision: revision(headers),
    }),
});

const dropSlot = endpoint({
  ...change,
  method: "DELETE",
  path: `${path}/{slot_name}`,
  operationId: "drop-slot",
  summary: "Drop a replication slot that the node keeps",
  description:
    "Refused while somebody uses it, for the slots of members, and for those that others made.",
  params: closed({
    ...NodePath.properties,
    slot_name: Type.String({ minLength: 1, maxLength: 63 }),
  }),
  handle: ({ operations, params, query, headers }) =>
    changed(operations.nodes, query.dry_run, {
      ...nodePlace(params),
      change: { kind: "drop", name: params.slot_name },
      ifRevision: revision(headers),
    }),
});

function changed(nodes: NodeOperations, dry: boolean | undefined, asked: ChangeOfSlots) {
  return dry ? nodes.planSlots(asked) : nodes.changeSlots(asked);
}
