// Two ways to lose what the compiler or an error had to say.

import { isCallExpression, isCatchClause, type Node, SyntaxKind } from "typescript/unstable/ast";
import { isDeclaration, lineOf, type Project, type Violation, walk } from "./project.ts";

export function checkHygiene(project: Project): Violation[] {
  const violations: Violation[] = [];
  for (const source of project.sources) {
    if (isDeclaration(source.path)) continue;
    walk(source.tree, (node) => {
      const found = judge(node, source.text);
      if (!found) return;
      const [rule, message] = found;
      violations.push({ rule, path: source.path, line: lineOf(source, node), message });
    });
  }
  return violations;
}

function judge(node: Node, text: string): readonly [string, string] | undefined {
  if (node.kind === SyntaxKind.AnyKeyword) return ["any", "any switches the compiler off"];
  if (isCatchClause(node) && node.block.statements.length === 0) {
    return ["empty-catch", "an error vanishes here: test for the one that may be ignored"];
  }
  if (
    isCallExpression(node) &&
    /\.catch\(\(\w*\) => \{\s*\}\)$/.test(text.slice(node.pos, node.end))
  ) {
    return ["empty-catch", "an error vanishes here: test for the one that may be ignored"];
  }
  return undefined;
}
