// The entry of the one binary: picks the subcommand.

import { buildVersion } from "./base/version.ts";
import { rqlitedAsset } from "./store/rqlited-asset.ts";

function main(args: readonly string[]): number {
  if (args[0] === "version") {
    const { version, revision, revisionTime } = buildVersion;
    console.log(
      `pgherd ${version} (${revision}, ${revisionTime}), rqlited ${rqlitedAsset.version}`,
    );
    return 0;
  }
  console.error("usage: pgherd version");
  return 2;
}

process.exit(main(process.argv.slice(2)));
