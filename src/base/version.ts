// What this build is. compile.sh stamps the three constants in; a run from source has none of them.

declare const PGHERD_VERSION: string | undefined;
declare const PGHERD_REVISION: string | undefined;
declare const PGHERD_REVISION_TIME: string | undefined;

export type BuildVersion = {
  /** Semantic version, without a leading `v`. */
  readonly version: string;
  /** Abbreviated commit; ends in `-dirty` when the tree had changes, `unknown` outside a checkout. */
  readonly revision: string;
  /** Time of that commit, UTC, RFC 3339; `unknown` like the revision. */
  readonly revisionTime: string;
};

export const buildVersion: BuildVersion = {
  version: typeof PGHERD_VERSION === "string" ? PGHERD_VERSION : "0.0.0-dev",
  revision: typeof PGHERD_REVISION === "string" ? PGHERD_REVISION : "unknown",
  revisionTime: typeof PGHERD_REVISION_TIME === "string" ? PGHERD_REVISION_TIME : "unknown",
};
