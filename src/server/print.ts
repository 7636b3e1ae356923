// The subcommands of the server that only print.
import { buildVersion } from "../base/version.ts";
import type { LoadedConfig } from "../config/parse.ts";
import { renderConfig, renderKeys, renderOrigins, renderProblems } from "../config/print.ts";
import { readConfig } from "../config.ts";
import { rqlitedAsset } from "../store/rqlited-asset.ts";

export function printVersion(): number {
  const { version, revision, revisionTime } = buildVersion;
  print(`pgherd ${version} (${revision}, ${revisionTime}), rqlited ${rqlitedAsset.version}\n`);
  return 0;
}

/** The configuration that `run` would have with the same arguments; with `--show-origin`, where each value comes from. */
export function printConfig(argv: readonly string[]): number {
  const origins = argv.includes("--show-origin");
  const rest = argv.filter((word) => word !== "--show-origin");
  return withConfig(rest, (loaded) => print((origins ? renderOrigins : renderConfig)(loaded)));
}

/** Only says whether the configuration is right. */
export function checkConfig(argv: readonly string[]): number {
  return withConfig(argv, () => print("the configuration is valid\n"));
}

export function printServerHelp(command: string): number {
  const origin = command === "print-config" ? " [--show-origin]" : "";
  print(
    `usage: pgherd server ${command} [--config FILE] [--KEY VALUE]...${origin}\n\n` +
      "Every key is a flag, a variable (--http.port: PGHERD_HTTP__PORT), and a key of the file\n" +
      "(YAML or JSON; /etc/pgherd/pgherd.yaml when none is named). Flags win over variables, and those over the file.\n\n" +
      renderKeys(),
  );
  return 0;
}

function withConfig(argv: readonly string[], act: (loaded: LoadedConfig) => void): number {
  const loaded = readConfig(argv);
  if (loaded.ok) {
    act(loaded.value);
    return 0;
  }
  process.stderr.write(renderProblems(loaded.error));
  return 2;
}

function print(text: string): void {
  process.stdout.write(text);
}
