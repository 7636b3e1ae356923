// What is wrong with a host, and how it is mended.
import { type Static, Type } from "@sinclair/typebox";
import { closed, oneOf } from "./closed.ts";
import { Identifier, Timestamp } from "./fields.ts";

export const HostFinding = closed({
  /** error: something does not work. warning: something will not for long, or should not be so. */
  severity: oneOf(["error", "warning"]),
  /** For programs; never changes its meaning. */
  code: Type.String(),
  message: Type.String(),
  remedy: Type.String(),
});
export type HostFinding = Static<typeof HostFinding>;

export const HostDoctorResponse = closed({
  host_id: Identifier,
  checked_at: Timestamp,
  /** No finding is an error. */
  healthy: Type.Boolean(),
  findings: Type.Array(HostFinding),
});
export type HostDoctorResponse = Static<typeof HostDoctorResponse>;
