// The diagram in the documents is that of the table.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { withDiagram } from "./fsm-diagram.ts";

test("docs/ha.md shows the table as it is", async () => {
  const text = await Bun.file(join(import.meta.dir, "../docs/ha.md")).text();
  expect(withDiagram(text)).toBe(text);
});
