// Configuration and problems as text for people.
import { stringify } from "yaml";
import type { Diagnostic } from "../base/result.ts";
import { KEYS } from "./keys.ts";
import type { LoadedConfig } from "./parse.ts";

/** The configuration as a file that would give it. No key holds a secret. */
export function renderConfig({ config }: LoadedConfig): string {
  return stringify(config, { aliasDuplicateObjects: false });
}

/** One line per key: its value and where that comes from. */
export function renderOrigins({ settings }: LoadedConfig): string {
  const rows = settings.map(({ name, value, origin }) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
    origin,
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return `${rows.map(line).join("\n")}\n`;
}

/** One line per problem. */
export function renderProblems(problems: readonly Diagnostic[]): string {
  const lines = problems.map(({ path, message, hint }) => {
    const where = path === "" ? "" : `${path}: `;
    return `${where}${message}${hint === undefined ? "" : `: ${hint}`}\n`;
  });
  return lines.join("");
}

/** Every key with its meaning, for `--help`. */
export function renderKeys(): string {
  const width = Math.max(...KEYS.map(({ name }) => name.length));
  const lines = KEYS.map(({ name, schema }) => `  --${name.padEnd(width)}  ${meaning(schema)}\n`);
  return lines.join("");
}

function meaning({ description, enum: words }: { description?: string; enum?: unknown }): string {
  const choice = Array.isArray(words) ? `One of ${words.join(", ")}. ` : "";
  return `${choice}${description ?? ""}`.trim();
}
