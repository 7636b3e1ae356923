// Checks what no compiler checks: who imports whom, what is pure, what is banned where. Fails only on
// those; then prints sizes beside those of peers. Rules live in scripts/tidy/.
//   bun scripts/tidy.ts [--markdown]     --markdown: only the tables, for ARCHITECTURE.md

import { join } from "node:path";
import { measure, renderFigures, renderMatrix } from "./tidy/figures.ts";
import { checkHygiene } from "./tidy/hygiene.ts";
import { checkLayers } from "./tidy/layers.ts";
import { checkModules } from "./tidy/modules.ts";
import { loadProject, type Project, type Violation } from "./tidy/project.ts";
import { checkPurity } from "./tidy/purity.ts";
import { checkSql } from "./tidy/sql.ts";
import { checkWords } from "./tidy/words.ts";

const RULES = [checkLayers, checkModules, checkPurity, checkWords, checkSql, checkHygiene];

/** Every violation of every rule, sorted by place. */
export function checkProject(project: Project): Violation[] {
  const violations = RULES.flatMap((rule) => rule(project));
  const key = ({ path, line }: Violation) => `${path}:${String(line).padStart(6, "0")}`;
  return violations.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

async function main(args: readonly string[]): Promise<number> {
  const project = await loadProject(join(import.meta.dir, ".."));
  const tables = `${renderFigures(measure(project))}\n\n${renderMatrix(project)}`;
  if (args.includes("--markdown")) {
    console.log(tables);
    return 0;
  }
  const violations = checkProject(project);
  for (const { path, line, rule, message } of violations) {
    console.error(`${path}:${line} ${rule}: ${message}`);
  }
  console.log(tables);
  console.log(`\ntidy: ${violations.length} violations in ${project.sources.length} files`);
  return violations.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
