// A plan as a dry run shows it.
import { type Static, Type } from "@sinclair/typebox";
import { closed, mapOf } from "./closed.ts";
import { Strings } from "./fields.ts";

export const PlanChange = closed({
  path: Type.String(),
  before: Type.Optional(Type.Unknown()),
  after: Type.Optional(Type.Unknown()),
});
export type PlanChange = Static<typeof PlanChange>;

export const PlanStep = closed({
  id: Type.String(),
  action: Type.String(),
  /** `<kind>::<id>`. */
  resource: Type.String(),
  host_id: Type.String(),
  reason: Type.String(),
  changes: Type.Array(PlanChange),
  restarts: Type.Boolean(),
  /** Steps that finish before this one starts. */
  after: Strings,
});
export type PlanStep = Static<typeof PlanStep>;

export const PlanView = closed({
  kind: Type.String(),
  database_id: Type.String(),
  generation: Type.Integer({ minimum: 0 }),
  steps: Type.Array(PlanStep),
  /** Instances that restart. */
  restarts: Strings,
  /** Nodes whose primary changes. */
  switchovers: Strings,
  /** Expected time without writes in milliseconds, by node. */
  write_gap_ms: mapOf(Type.Number()),
  text: Type.String(),
});
export type PlanView = Static<typeof PlanView>;
