// Renders postgresql.conf (manual, "Setting Parameters" 20.1.2).
import { AppError } from "../base/errors.ts";

const SETTING_NAME = /^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$/;

/** Words that the file's reader takes for directives, with or without an equals sign. */
const DIRECTIVES = ["include", "include_if_exists", "include_dir"];

/** Whether the text can be the name of a setting: `work_mem`, `spock.conflict_log_level`. */
export function isSettingName(name: string): boolean {
  return SETTING_NAME.test(name) && name.length <= 127 && !DIRECTIVES.includes(name.toLowerCase());
}

/**
 * The text of a configuration file with the given settings in order of their names, all values quoted.
 * Throws for a name that could be read as anything but a name, and for a value with NUL.
 */
export function renderConf(settings: Readonly<Record<string, string>>, heading: string): string {
  const lines = Object.entries(settings)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${settingName(name)} = ${quoteSetting(value)}`);
  return [`# ${heading.replaceAll(/[\r\n]/g, " ")}`, ...lines, ""].join("\n");
}

/** The value in single quotes with everything escaped that the configuration file's reader would change. */
export function quoteSetting(value: string): string {
  if (value.includes("\0")) throw new AppError("terminal", "a setting must not contain NUL");
  const escaped = value
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "''")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r");
  return `'${escaped}'`;
}

function settingName(name: string): string {
  if (!isSettingName(name)) {
    throw new AppError("terminal", `not a name of a setting: ${JSON.stringify(name)}`);
  }
  return name;
}
