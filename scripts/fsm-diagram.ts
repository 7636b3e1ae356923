// Prints the table of high availability as a Mermaid diagram, and keeps the one in docs/ha.md true.
//   bun scripts/fsm-diagram.ts [--check | --write]
import { join } from "node:path";
import { MEMBER_STATES, type MemberState } from "../src/ha/state.ts";
import { TRANSITIONS } from "../src/ha/transitions.ts";

const document = join(import.meta.dir, "../docs/ha.md");
const BEGIN = "<!-- states: made by scripts/fsm-diagram.ts -->";
const END = "<!-- end of states -->";

/** States in which a member serves; drawn apart. */
const SERVING: readonly MemberState[] = ["primary", "standby"];

/** The states with what leads from one to another: an arrow for every pair, labelled with the rows that it stands for. */
export function diagram(): string {
  const edges = new Map<string, string[]>();
  for (const { from, to, name } of TRANSITIONS) {
    for (const target of to.filter((state) => state !== from)) {
      const edge = `${from} --> ${target}`;
      edges.set(edge, [...(edges.get(edge) ?? []), name]);
    }
  }
  const lines = MEMBER_STATES.flatMap((state) =>
    [...edges]
      .filter(([edge]) => edge.startsWith(`${state} `))
      .map(([edge, names]) => `  ${edge}: ${names.join(", ")}`),
  );
  const classes = SERVING.map((state) => `  class ${state} serving`);
  return [
    "```mermaid",
    "stateDiagram-v2",
    "  [*] --> unknown",
    ...lines,
    "  classDef serving font-weight:bold",
    ...classes,
    "```",
  ].join("\n");
}

/** A document with the diagram between its marks. */
export function withDiagram(text: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`no marks in ${document}`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${diagram()}\n\n${text.slice(end)}`;
}

async function main(args: readonly string[]): Promise<number> {
  if (args.length === 0) {
    console.log(diagram());
    return 0;
  }
  const text = await Bun.file(document).text();
  const wanted = withDiagram(text);
  if (args.includes("--write")) await Bun.write(document, wanted);
  else if (text !== wanted) {
    console.error(`${document} is out of date: bun scripts/fsm-diagram.ts --write`);
    return 1;
  }
  return 0;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
