// Which server answers.
import { type Static, Type } from "@sinclair/typebox";
import { closed } from "./closed.ts";
import { Timestamp } from "./fields.ts";

export const VersionInfo = closed({
  version: Type.String(),
  revision: Type.String(),
  revision_time: Timestamp,
  arch: Type.String(),
});
export type VersionInfo = Static<typeof VersionInfo>;
