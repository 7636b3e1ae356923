// What the documents show is true: their commands are executed, their output is compared, their specs are checked.
// With PGHERD_TEST_DOCS_WRITE=1 shown output is replaced by the real one instead, for a person to review.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Sandbox } from "../e2e/harness.ts";
import { type Block, blocksOf, documents, placeOf, read, root } from "./blocks.ts";
import { Terminal } from "./execution.ts";
import { difference } from "./loosely.ts";
import { problemsOf } from "./specs.ts";

const write = process.env.PGHERD_TEST_DOCS_WRITE === "1";
const blockTimeoutMs = 130_000;

/** A block that is executed, with the one that shows its output. */
interface Command {
  readonly block: Block;
  readonly shown: Block | undefined;
}

function commandsOf(blocks: readonly Block[]): readonly Command[] {
  return blocks.flatMap((block, index) => {
    if (block.language !== "sh" && !block.info.has("file")) return [];
    const next = blocks[index + 1];
    return [{ block, shown: next?.language === "console" ? next : undefined }];
  });
}

for (const document of documents()) {
  const blocks = blocksOf(document);
  const commands = commandsOf(blocks);
  const isExecuted = commands.some(
    ({ block }) => block.language === "sh" && !block.info.has("skip"),
  );

  describe(document, () => {
    let sandbox: Sandbox;
    let terminal: Terminal;
    const real = new Map<Block, string>();

    if (isExecuted) {
      beforeAll(async () => {
        sandbox = await Sandbox.initialised({ config: { host_id: "host-1" } });
        terminal = new Terminal(sandbox);
      }, 60_000);
      afterAll(async () => {
        terminal?.remove();
        await sandbox?.destroy();
        if (write) replaceShown(document, real);
      }, 60_000);
    }

    for (const { block, shown } of commands) {
      const skip = block.info.get("skip");
      if (skip !== undefined) {
        test.skip(`line ${block.line} is not executed: ${skip}`, () => undefined);
        continue;
      }
      if (!isExecuted) continue;
      test(
        `line ${block.line} does what is written`,
        async () => {
          if (block.info.has("file")) {
            terminal.write(block);
            return;
          }
          const output = await terminal.run(block);
          if (shown) real.set(shown, output);
          if (shown && !write) expect(difference(shown.text, output)).toBeUndefined();
        },
        blockTimeoutMs,
      );
    }

    for (const block of blocks.filter(
      ({ language }) => language === "yaml" || language === "json",
    )) {
      if (block.info.has("skip")) continue;
      const isWrong = block.info.has("wrong");
      test(`line ${block.line} is ${isWrong ? "not valid" : "valid"}`, async () => {
        const problems = await problemsOf(parse(block.text), kindOf(block));
        if (isWrong) expect(problems).not.toEqual([]);
        else expect(problems).toEqual([]);
      });
    }

    test("says for every block what it is", () => {
      // Diagrams are compared with what generates them, and the lab's own tests make the calls that ts blocks show.
      const known = ["sh", "console", "yaml", "json", "sql", "text", "ini", "mermaid", "ts"];
      const others = blocks.filter(({ language }) => !known.includes(language));
      expect(others.map(placeOf)).toEqual([]);
    });
  });
}

describe("examples", () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = await Sandbox.initialised({ config: { host_id: "host-1" } });
  }, 60_000);
  afterAll(() => sandbox?.destroy(), 60_000);

  for (const name of readdirSync(join(root, "examples")).sort()) {
    const request = parse(readFileSync(join(root, "examples", name), "utf8"));

    test(`${name} is valid`, async () => {
      expect(await problemsOf(request, "request")).toEqual([]);
    });

    test(
      `${name} makes a database`,
      async () => {
        // Its fixed ports may be in use on the machine of the test.
        const spec = { ...request.spec, port: 0, patroni_port: 0 };
        const { state, instances } = await sandbox.create(request.id, spec);
        expect(state).toBe("available");
        expect(instances).toHaveLength(spec.nodes.length);
        const { name: gone } = await sandbox.change("DELETE", `/v1/databases/${request.id}`);
        expect(gone).toBe("not_found");
      },
      blockTimeoutMs,
    );
  }
});

function kindOf({ info }: Block): "request" | "spec" | "node" | "config" {
  if (info.has("config")) return "config";
  if (info.has("node")) return "node";
  return info.has("spec") ? "spec" : "request";
}

/** Puts what was really printed in the place of what the document shows, where the two do not agree. */
function replaceShown(document: string, real: ReadonlyMap<Block, string>): void {
  const lines = read(document).split("\n");
  for (const [block, output] of [...real].sort(([a], [b]) => b.line - a.line)) {
    const shown = block.text.split("\n").slice(0, -1);
    if (difference(block.text, output) === undefined) continue;
    lines.splice(block.line, shown.length, ...output.trimEnd().split("\n"));
  }
  writeFileSync(join(root, document), lines.join("\n"));
}
