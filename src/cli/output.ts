// Prints answers: a table for people, JSON or YAML exactly as the API gave it for programs.
import { stringify } from "yaml";
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

export const outputFormats = ["table", "json", "yaml", "name"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** A column: its title and how its cell is read from a row. */
export interface Column {
  readonly title: string;
  readonly cell: (row: Record<string, unknown>) => unknown;
}

export function parseFormat(text: string): OutputFormat {
  const format = outputFormats.find((known) => known === text);
  if (!format) {
    throw new CliError(
      exitCodes.usage,
      `unknown output ${text}; known: ${outputFormats.join(", ")}`,
    );
  }
  return format;
}

/** Prints `whole` as JSON or YAML, or `rows` as a table. */
export function printRows(
  terminal: Terminal,
  format: OutputFormat,
  whole: unknown,
  rows: readonly unknown[],
  columns: readonly Column[],
): void {
  if (format === "json") terminal.out(`${JSON.stringify(whole, null, 2)}\n`);
  else if (format === "yaml") terminal.out(stringify(whole));
  else {
    const cells = rows
      .filter(isObject)
      .map((row) => columns.map((column) => text(column.cell(row))));
    if (format === "name") for (const row of cells) terminal.out(`${row[0] ?? ""}\n`);
    else
      terminal.out(
        table(
          columns.map((column) => column.title),
          cells,
        ),
      );
  }
}

/** Prints one object: as JSON or YAML, or as `key: value` lines. */
export function printObject(terminal: Terminal, format: OutputFormat, whole: unknown): void {
  if (format === "json") terminal.out(`${JSON.stringify(whole, null, 2)}\n`);
  else if (format === "name")
    terminal.out(`${isObject(whole) ? text(whole.id ?? whole.task_id) : ""}\n`);
  else terminal.out(stringify(whole));
}

function text(value: unknown): string {
  if (value === undefined || value === null || value === "") return "-";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Aligned columns separated by two spaces. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[titles, ...rows].map(line).join("\n")}\n`;
}
