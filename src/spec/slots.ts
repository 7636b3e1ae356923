// Permanent slots of a node, as users describe them, and the slots of its instances, as they see them.
import { type Static, Type } from "@sinclair/typebox";
import type { PermanentSlot } from "../postgres/replication.ts";
import { closed, oneOf } from "./closed.ts";
import { Identifier, NodeName, Timestamp } from "./fields.ts";

export const SlotSpec = closed({
  name: Type.String({
    minLength: 1,
    maxLength: 63,
    description: "Lower-case letters, digits and underscores.",
  }),
  type: oneOf(["physical", "logical"]),
  plugin: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 63,
      description: "Output plugin of a logical slot; `pgoutput` when absent.",
    }),
  ),
  database: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 63,
      description: "Database of a logical slot; the application's when absent.",
    }),
  ),
});
export type SlotSpec = Static<typeof SlotSpec>;

/** A slot with nothing left to look up. */
export function resolveSlot(slot: SlotSpec, databaseName: string): PermanentSlot {
  const { name, type, plugin = "pgoutput", database = databaseName } = slot;
  return type === "physical" ? { name, type } : { name, type, plugin, database };
}

export const ShownSlot = closed({
  name: Type.String(),
  type: oneOf(["physical", "logical"]),
  plugin: Type.Optional(Type.String()),
  database: Type.Optional(Type.String()),
  /** member = of another instance of the node; permanent = of the spec; foreign = made by somebody else. */
  owner: oneOf(["member", "permanent", "foreign"]),
  /** Instance that a member's slot is for. */
  member: Type.Optional(Type.String()),
  active: Type.Boolean(),
  /** Who uses it now. */
  used_by: Type.Optional(Type.String()),
  restart_lsn: Type.Optional(Type.String()),
  confirmed_flush_lsn: Type.Optional(Type.String()),
  /** Log that it keeps from being removed; absent when it keeps nothing. */
  retained_bytes: Type.Optional(Type.Integer({ format: "int64" })),
  /** reserved, extended, unreserved or lost. */
  wal_status: Type.Optional(Type.String()),
  temporary: Type.Boolean(),
  /** Of a logical slot: standbys are to have it (17 and newer). */
  failover: Type.Optional(Type.Boolean()),
  /** It is the copy that a standby has. */
  synced: Type.Optional(Type.Boolean()),
});
export type ShownSlot = Static<typeof ShownSlot>;

export const InstanceSlots = closed({
  instance_id: Type.String(),
  host_id: Type.String(),
  role: oneOf(["primary", "replica", "uninitialized", "unknown"]),
  slots: Type.Array(ShownSlot),
  /** When its keeper looked at them last; absent = not yet. */
  seen_at: Type.Optional(Timestamp),
});
export type InstanceSlots = Static<typeof InstanceSlots>;

export const NodeSlots = closed({
  database_id: Identifier,
  node_name: NodeName,
  /** Of the spec; name it in If-Match to change only what was seen. */
  revision: Type.Integer({ format: "int64" }),
  /** What the spec wants to be there, whoever is primary. */
  permanent: Type.Array(SlotSpec),
  /** What is there. */
  instances: Type.Array(InstanceSlots),
});
export type NodeSlots = Static<typeof NodeSlots>;
