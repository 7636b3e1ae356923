// The name of an orchestrator belongs to its driver. Elsewhere it would be the start of a special case.

import { isProduct, type Project, type Violation } from "./project.ts";

/** Word -> the folder that may use it. */
const WORDS: Readonly<Record<string, string>> = {
  systemd: "src/orchestrator/baremetal/",
  swarm: "src/orchestrator/swarm/",
  docker: "src/orchestrator/swarm/",
};

/** Files that must use a word, with the reason. Every other use is an error. */
const ALLOWED: Readonly<Record<string, string>> = {
  "src/main.ts": "builds the drivers",
  "src/config/schema.ts": "values of a key of the configuration",
  "src/config/keys.ts": "keys of other servers of the same API",
  "src/config/parse.ts": "values of a key of the configuration",
  "src/orchestrator/registry.ts": "lists the drivers",
  "src/spec/api-models.ts": "fields and values of the v1 API",
  "src/spec/service-spec.ts": "fields and values of the v1 API",
};

export function checkWords(project: Project): Violation[] {
  const violations: Violation[] = [];
  for (const { path, text } of project.sources) {
    if (!isProduct(path) || path in ALLOWED) continue;
    for (const [index, line] of text.split("\n").entries()) {
      for (const [word, folder] of Object.entries(WORDS)) {
        if (path.startsWith(folder) || !line.toLowerCase().includes(word)) continue;
        const message = `"${word}" belongs to ${folder}`;
        violations.push({ rule: "words", path, line: index + 1, message });
      }
    }
  }
  return violations;
}
