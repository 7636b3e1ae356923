// How a node of several instances is kept available, under the names that users of Patroni know.
import { type Static, Type } from "@sinclair/typebox";
import { closed, mapOf, oneOf } from "./closed.ts";

const Seconds = (minimum: number, description: string) =>
  Type.Optional(Type.Integer({ format: "int64", minimum, maximum: 86_400, description }));

/** Properties of one host's instance: those that Patroni knows, and any of the user's own. */
export const HaTagsSpec = mapOf(Type.Union([Type.Boolean(), Type.Number(), Type.String()]), {
  maxProperties: 16,
});
export type HaTagsSpec = Static<typeof HaTagsSpec>;

/** Absent fields are those of the database, then those of the profile. */
export const HaSpec = closed({
  profile: Type.Optional(
    oneOf(["default", "fast", "wide"], {
      description:
        "Where the other times come from: `fast` for one site, `wide` for hosts far apart.",
    }),
  ),
  ttl: Seconds(5, "Seconds that a primary that vanished is waited for at most."),
  loop_wait: Seconds(1, "Seconds between two renewals of the primary's lease."),
  retry_timeout: Seconds(1, "Seconds that one renewal may take with all its tries."),
  maximum_lag_on_failover: Type.Optional(
    Type.Integer({
      format: "int64",
      minimum: 0,
      description: "Bytes that a standby may be behind to be promoted without being asked for.",
    }),
  ),
  primary_start_timeout: Seconds(
    0,
    "Seconds that a crashed primary may take to start again before a standby takes over.",
  ),
  primary_stop_timeout: Seconds(0, "Seconds that a primary may take to stop; 0 = no limit."),
  failsafe_mode: Type.Optional(
    Type.Boolean({ description: "Without the store, go on while every member agrees." }),
  ),
  synchronous_mode: Type.Optional(
    oneOf(["off", "on", "quorum", "auto"], {
      description: "`auto` is `on` while a standby keeps up, and `off` otherwise.",
    }),
  ),
  synchronous_mode_strict: Type.Optional(
    Type.Boolean({ description: "Let writes wait rather than go on without a standby." }),
  ),
  synchronous_node_count: Type.Optional(
    Type.Integer({
      format: "int64",
      minimum: 1,
      maximum: 8,
      description: "Standbys that must have a commit before it is acknowledged.",
    }),
  ),
  synchronous_selection: Type.Optional(
    oneOf(["any", "first"], {
      description: "Whether any of the standbys count, or the first of a list.",
    }),
  ),
  synchronous_degrade_after: Seconds(
    0,
    "Seconds that a synchronous standby may be away before writes go on without it.",
  ),
  tags: Type.Optional(
    Type.Unsafe<Record<string, HaTagsSpec>>(
      mapOf(HaTagsSpec, {
        maxProperties: 64,
        description: "Properties of instances, by host id.",
      }),
    ),
  ),
});
export type HaSpec = Static<typeof HaSpec>;
