// What the server does on signals, and on failures that nobody expected.
import type { Logger, LogLevels } from "../base/log.ts";
import type { LoadedConfig } from "../config/parse.ts";
import { renderProblems } from "../config/print.ts";
import { readConfig } from "../config.ts";

/**
 * Aborts on SIGTERM or SIGINT; a second one ends the process at once. Databases do not notice either.
 * A failure outside every handler ends the process too, after it was logged.
 */
export function stopSignal(log: Logger): AbortSignal {
  const stopping = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping.signal.aborted) {
        log.warn("stopping at once", { signal });
        process.exit(1);
      }
      log.info("stopping", { signal });
      stopping.abort();
    });
  }
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (thrown: unknown) => {
      log.fatal("unexpected failure", { event, error: thrown });
      process.exit(1);
    });
  }
  // A log that nobody reads any more is no reason to end.
  process.stdout.on("error", () => undefined);
  return stopping.signal;
}

export interface Reloading {
  readonly argv: readonly string[];
  /** As the server was started with it. */
  readonly loaded: LoadedConfig;
  readonly levels: LogLevels;
  readonly log: Logger;
}

/** On SIGHUP the configuration is read again; log levels follow it, the rest waits for a restart. */
export function reloadOnHangUp(reloading: Reloading): void {
  process.on("SIGHUP", () => reload(reloading));
}

const RELOADABLE = /^logging\.(level|component_levels\..*)$/;

function reload({ argv, loaded, levels, log }: Reloading): void {
  const again = readConfig(argv);
  if (!again.ok) {
    const problems = renderProblems(again.error).trimEnd().split("\n");
    log.error("the configuration was not reloaded", { problems });
    return;
  }
  const { level, component_levels: components } = again.value.config.logging;
  levels.set(level, components);
  const needRestart = changed(loaded, again.value).filter((name) => !RELOADABLE.test(name));
  log.info("reloaded the configuration", { logLevel: level, components, needRestart });
}

function changed(before: LoadedConfig, after: LoadedConfig): readonly string[] {
  const texts = ({ settings }: LoadedConfig) =>
    new Map(settings.map(({ name, value }) => [name, JSON.stringify(value)]));
  const [old, now] = [texts(before), texts(after)];
  const names = new Set([...old.keys(), ...now.keys()]);
  return [...names].filter((name) => old.get(name) !== now.get(name));
}
