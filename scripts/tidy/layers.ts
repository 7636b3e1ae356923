// Which part of the product may import which. One direction, so that no lower layer knows an upper one.

import { isProduct, type Project, type Violation } from "./project.ts";

/** Layer -> what it may import besides itself: layers (folders of src/) and single files below src/. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  config: ["base", "spec"],
  pki: ["base"],
  postgres: ["base"],
  ha: ["base", "postgres"],
  spec: ["base", "postgres", "ha", "orchestrator/*/options.ts"],
  plan: ["base", "postgres", "spec", "ha"],
  host: ["base"],
  peer: ["base", "host", "spec", "plan", "orchestrator/driver*.ts"],
  orchestrator: ["base", "postgres", "spec", "plan", "host"],
  store: ["base", "spec", "plan", "ha"],
  observe: ["base", "spec", "plan", "store", "orchestrator/driver.ts"],
  apply: [
    "base",
    "spec",
    "plan",
    "ha",
    "store",
    "observe",
    "postgres",
    "orchestrator/driver.ts",
    "host/executor.ts",
  ],
  operations: [
    "base",
    "spec",
    "plan",
    "ha",
    "store",
    "observe",
    "postgres",
    "orchestrator/driver.ts",
    "host/executor.ts",
  ],
  http: ["base", "spec", "operations"],
  cli: ["base", "spec"],
  agents: [
    "base",
    "postgres",
    "ha",
    "host",
    "store/ha-*.ts",
    "store/rqlite.ts",
    "store/statement.ts",
    "spec/instance-config.ts",
  ],
};

/** The composition root: may import everything, and is the only one to import agents. */
const ROOT = /^src\/(main|server|process-terminal)\.ts$|^src\/server\//;

/** The layer of a file: folder below src/, `agents`, or `main` for the composition root. */
export function layerOf(path: string): string | undefined {
  if (ROOT.test(path)) return "main";
  if (path === "src/config.ts") return "config";
  const [top, folder, file] = path.split("/");
  if (top === "agents") return "agents";
  return top === "src" && file !== undefined ? folder : undefined;
}

export function checkLayers(project: Project): Violation[] {
  const violations: Violation[] = [];
  for (const { path, imports } of project.sources.filter((source) => isProduct(source.path))) {
    const layer = layerOf(path);
    const report = (line: number, message: string) =>
      violations.push({ rule: "layers", path, line, message });
    if (layer === "main") continue;
    if (layer === undefined || LAYERS[layer] === undefined) {
      report(0, "belongs to no known layer: add its folder to LAYERS in scripts/tidy/layers.ts");
      continue;
    }
    for (const { target, line } of imports) {
      if (target !== undefined && !mayImport(layer, target)) {
        report(line, `${layer} may not import ${target}`);
      }
    }
  }
  return violations;
}

function mayImport(layer: string, target: string): boolean {
  if (target.startsWith(".cache/assets/")) return layer === "store";
  const other = layerOf(target);
  if (other === layer) return true;
  const allowed = LAYERS[layer] ?? [];
  if (other !== undefined && other !== "agents" && allowed.includes(other)) return true;
  return allowed.some(
    (entry) => entry.endsWith(".ts") && new Bun.Glob(`src/${entry}`).match(target),
  );
}
