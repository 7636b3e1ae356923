// The rqlited that this build carries: where its bytes can be read, and what they must be. It only
// names the asset; extracting and starting it is the store process's work. scripts/build-rqlited.sh
// puts the file there, compile.sh the one for the architecture it builds for.

import path from "../../.cache/assets/rqlited" with { type: "file" };
import release from "../../.cache/assets/rqlited.json" with { type: "json" };

export type RqlitedAsset = {
  /** Readable with Bun.file, not executable in place: inside a compiled binary it is no real file. */
  readonly path: string;
  /** As `rqlited -version` prints it, for example `v8.43.4`. */
  readonly version: string;
  /** Of the bytes at `path`, in lower-case hexadecimal. */
  readonly sha256: string;
};

export const rqlitedAsset: RqlitedAsset = {
  path,
  version: release.version,
  sha256: release.sha256,
};
