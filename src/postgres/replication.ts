// Names of replication between the members of a node: slots, application names; and whose a slot is.
import { createHash } from "node:crypto";

/** Longest name of a slot or an application (NAMEDATALEN - 1). */
const nameCharsMax = 63;
const memberPrefix = "pgherd_member_";

/** A slot that a node keeps for a consumer outside of it, whoever is primary. */
export type PermanentSlot = PermanentPhysicalSlot | PermanentLogicalSlot;

export interface PermanentPhysicalSlot {
  readonly name: string;
  readonly type: "physical";
}

export interface PermanentLogicalSlot {
  readonly name: string;
  readonly type: "logical";
  readonly plugin: string;
  readonly database: string;
}

/**
 * How standbys have a permanent logical slot: PostgreSQL copies it from 17 on, 16 lets a standby make one of its own, and
 * before they cannot.
 */
export function slotsOfStandbys(major: number): "copied" | "own" | "none" {
  if (major >= 17) return "copied";
  return major === 16 ? "own" : "none";
}

/** A slot name that PostgreSQL accepts (manual, pg_create_physical_replication_slot). */
export function isSlotName(name: string): boolean {
  return /^[a-z0-9_]{1,63}$/.test(name);
}

/** The physical slot of a member, the same on every member. */
export function memberSlotName(instanceId: string): string {
  const name = `${memberPrefix}${instanceId.replaceAll(/[^a-z0-9]/g, "_")}`;
  if (name.length <= nameCharsMax) return name;
  return `${memberPrefix}${digest(instanceId, 32)}`;
}

/** Names that are not for users. */
export function isReservedSlotName(name: string): boolean {
  return name.startsWith("pgherd_");
}

/** Whether a slot is one of ours; others are never dropped. */
export function isMemberSlot(name: string): boolean {
  return name.startsWith(memberPrefix);
}

/**
 * What a member calls itself towards its upstream, and what synchronous_standby_names lists. Nobody else has it by
 * accident, and it cannot be guessed without the system identifier: a tool under a member's name would acknowledge
 * commits in its place. Needs no quotes anywhere.
 */
export function memberApplicationName(instanceId: string, systemIdentifier: string): string {
  return `pgherd_${digest(`${systemIdentifier}/${instanceId}`, 24)}`;
}

function digest(text: string, chars: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, chars);
}
