// Reads the fenced code blocks of a Markdown document, and what their first lines say about them:
//   ```sh                      is executed          ```sh skip="why not"     is not, and the test says why
//   ```console                 output of the block before it
//   ```yaml file=shop.yaml     is written to that file, and checked like any other spec
//   ```yaml wrong file=…       the same for one that must not be valid
//   ```yaml spec, ```yaml node, ```yaml config       a part: of a spec, of a node, of the server's configuration
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "../..");

export interface Block {
  /** Relative to the project. */
  readonly document: string;
  /** Of its first line, counted from 1. */
  readonly line: number;
  readonly language: string;
  /** Words without a value have the value "". */
  readonly info: ReadonlyMap<string, string>;
  readonly text: string;
}

/** README.md and everything of docs/. */
export function documents(): readonly string[] {
  const inDocs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  return ["README.md", ...inDocs.sort().map((name) => `docs/${name}`)];
}

export function read(document: string): string {
  return readFileSync(join(root, document), "utf8");
}

/** All blocks of the document in their order. Throws for a block that has no end. */
export function blocksOf(document: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly line: number; readonly head: string; readonly lines: string[] } | undefined;
  for (const [index, line] of read(document).split("\n").entries()) {
    if (!open) {
      if (line.startsWith("```")) open = { line: index + 1, head: line.slice(3), lines: [] };
    } else if (line.trimEnd() === "```") {
      blocks.push(blockOf(document, open));
      open = undefined;
    } else {
      open.lines.push(line);
    }
  }
  if (open) throw new Error(`${document}:${open.line}: the block has no end`);
  return blocks;
}

function blockOf(
  document: string,
  { line, head, lines }: { readonly line: number; readonly head: string; readonly lines: string[] },
): Block {
  const [language = "", ...rest] = head.trim().split(/\s+/);
  const info = new Map<string, string>();
  for (const [, name = "", quoted, plain] of rest
    .join(" ")
    .matchAll(/([a-z_]+)(?:=(?:"([^"]*)"|(\S+)))?/g)) {
    info.set(name, quoted ?? plain ?? "");
  }
  return { document, line, language, info, text: lines.map((each) => `${each}\n`).join("") };
}

/** How a block is called in messages: a place that editors can open. */
export function placeOf({ document, line }: Block): string {
  return `${document}:${line}`;
}
