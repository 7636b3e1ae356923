// Identifiers that users choose or that are derived from them. Only the parsers here make the branded types.
import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { fail, ok, type Result } from "../base/result.ts";

declare const brand: unique symbol;
type Branded<Name> = string & { readonly [brand]: Name };

export type ClusterId = Branded<"ClusterId">;
export type HostId = Branded<"HostId">;
export type DatabaseId = Branded<"DatabaseId">;
export type TenantId = Branded<"TenantId">;
export type NodeId = Branded<"NodeId">;
export type InstanceId = Branded<"InstanceId">;

const IDENTIFIER = /^[a-z0-9](?:[a-z0-9-]{0,34}[a-z0-9])?$/;
const NODE_NAME = /^n[1-9][0-9]{0,2}$/;
const INSTANCE_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_HASH_CHARS = 8;

const IDENTIFIER_RULE =
  "must be 1 to 36 lower-case letters, digits and single hyphens, and begin and end with a letter or digit";
const NODE_NAME_RULE = "must be `n` and a number from 1 to 999 without leading zeros";
const INSTANCE_ID_RULE = "is not the id of an instance";

/** What is wrong with a text as an identifier; undefined when nothing is. UUIDs are identifiers. */
export function identifierProblem(text: string): string | undefined {
  return IDENTIFIER.test(text) && !text.includes("--") ? undefined : IDENTIFIER_RULE;
}

export function parseClusterId(text: string): Result<ClusterId, string> {
  return isIdentifier<ClusterId>(text) ? ok(text) : fail(IDENTIFIER_RULE);
}

export function parseHostId(text: string): Result<HostId, string> {
  return isIdentifier<HostId>(text) ? ok(text) : fail(IDENTIFIER_RULE);
}

export function parseDatabaseId(text: string): Result<DatabaseId, string> {
  return isIdentifier<DatabaseId>(text) ? ok(text) : fail(IDENTIFIER_RULE);
}

export function parseTenantId(text: string): Result<TenantId, string> {
  return isIdentifier<TenantId>(text) ? ok(text) : fail(IDENTIFIER_RULE);
}

/** A node's name: `n` and its ordinal. */
export function parseNodeName(text: string): Result<NodeId, string> {
  return isNodeName(text) ? ok(text) : fail(NODE_NAME_RULE);
}

export function parseInstanceId(text: string): Result<InstanceId, string> {
  return isInstanceId(text) ? ok(text) : fail(INSTANCE_ID_RULE);
}

/** Id of the instance of a node on a host. Always the same for the same three. */
export function instanceId(databaseId: string, nodeName: string, hostId: string): InstanceId {
  const id = `${databaseId}-${nodeName}-${hostHash(hostId)}`;
  assert(isInstanceId(id), `${INSTANCE_ID_RULE}: ${id}`);
  return id;
}

/** The number in a node's name; undefined when the name is no node name. */
export function nodeOrdinal(nodeName: string): number | undefined {
  return NODE_NAME.test(nodeName) ? Number(nodeName.slice(1)) : undefined;
}

/** First characters of the SHA-1 of a host id, as one big number in base 36: short and without meaning. */
function hostHash(hostId: string): string {
  const hex = createHash("sha1").update(hostId).digest("hex");
  return BigInt(`0x${hex}`).toString(36).slice(0, HOST_HASH_CHARS);
}

function isIdentifier<Id extends string>(text: string): text is Id {
  return identifierProblem(text) === undefined;
}

function isNodeName(text: string): text is NodeId {
  return NODE_NAME.test(text);
}

function isInstanceId(text: string): text is InstanceId {
  return INSTANCE_ID.test(text);
}
