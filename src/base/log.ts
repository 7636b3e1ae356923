// JSON logs, one object a line, with a level per component that can be changed at run time.
import { type Clock, rfc3339Millis } from "./clock.ts";
import { Secret } from "./secret.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one line per call: a static message and fields. */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
  /** A logger of the same component whose lines all carry these fields. */
  with(fields: LogFields): Logger;
  /** A logger of another component, with that component's level. */
  component(name: string): Logger;
}

/** Which lines are written; mutable at run time by design (SIGHUP, API). */
export class LogLevels {
  #fallback: LogLevel;
  #components: ReadonlyMap<string, LogLevel>;

  constructor(fallback: LogLevel, components: Readonly<Record<string, LogLevel>> = {}) {
    this.#fallback = fallback;
    this.#components = new Map(Object.entries(components));
  }

  set(fallback: LogLevel, components: Readonly<Record<string, LogLevel>>): void {
    this.#fallback = fallback;
    this.#components = new Map(Object.entries(components));
  }

  enabled(component: string, level: LogLevel): boolean {
    const wanted = this.#components.get(component) ?? this.#fallback;
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(wanted);
  }
}

export interface LoggerOptions {
  readonly clock: Clock;
  readonly levels: LogLevels;
  /** Receives each finished line, without a newline. */
  readonly write: (line: string) => void;
  /** Human-readable lines instead of JSON. */
  readonly pretty?: boolean;
}

/** A logger for one component of the process. */
export function createLogger(
  options: LoggerOptions,
  component: string,
  fields: LogFields = {},
): Logger {
  const emit = (level: LogLevel) => (message: string, more?: LogFields) => {
    if (!options.levels.enabled(component, level)) return;
    const ts = rfc3339Millis(options.clock.nowMs());
    const all = { ...fields, ...more };
    options.write(
      options.pretty
        ? `${ts} ${level.toUpperCase().padEnd(5)} ${component}: ${message} ${toJson(all)}`
        : toJson({ ts, level, logger: component, msg: message, ...all }),
    );
  };
  return {
    trace: emit("trace"),
    debug: emit("debug"),
    info: emit("info"),
    warn: emit("warn"),
    error: emit("error"),
    fatal: emit("fatal"),
    with: (more) => createLogger(options, component, { ...fields, ...more }),
    component: (name) => createLogger(options, name, fields),
  };
}

/** A logger that writes nothing, for tests. */
export const silentLogger: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  fatal: () => undefined,
  with: () => silentLogger,
  component: () => silentLogger,
};

function toJson(fields: LogFields): string {
  return JSON.stringify(fields, (_key, value: unknown) => {
    if (value instanceof Secret) return value.toString();
    if (value instanceof Error) return { type: value.name, msg: value.message, stack: value.stack };
    if (typeof value === "bigint") return value.toString();
    return value;
  });
}
