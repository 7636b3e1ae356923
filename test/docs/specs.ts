// Checks a spec, or a part of one, as the server would: shape first, then the rules between fields.
import type { Diagnostic } from "../../src/base/result.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { fileSource } from "../../src/config/sources.ts";
import { loadStatementParser } from "../../src/operations/statement-parser.ts";
import { CreateDatabaseRequest } from "../../src/spec/database.ts";
import { shapeProblems } from "../../src/spec/shape.ts";
import { validateDatabaseSpec, validateIds } from "../../src/spec/validate.ts";

/** A whole request, a part of a spec, a part of a node, or a part of the server's configuration. */
export type Kind = "request" | "spec" | "node" | "config";

const node = { name: "n1", host_ids: ["host-1"] };
const spec = { database_name: "shop", port: 0, nodes: [node] };
const machine = { hostname: "host-1", uid: 0, addresses: ["192.0.2.10"] };

/** Everything that is wrong with it. */
export async function problemsOf(value: unknown, kind: Kind): Promise<readonly Diagnostic[]> {
  if (kind === "config") return configProblems(value);
  const request = requestOf(value, kind);
  const shape = shapeProblems(CreateDatabaseRequest, request);
  if (shape.length > 0) return shape;
  // It fits the schema that the type comes from.
  const { id, tenant_id, spec: whole } = request as CreateDatabaseRequest;
  const context = { services: false, spock: false, parseStatement: await loadStatementParser() };
  return [
    ...validateIds({ ...(id ? { id } : {}), ...(tenant_id ? { tenant_id } : {}) }),
    ...validateDatabaseSpec(whole, context),
  ];
}

function requestOf(value: unknown, kind: Exclude<Kind, "config">): unknown {
  if (kind === "request" || typeof value !== "object") return value;
  if (kind === "spec") return { spec: { ...spec, ...value } };
  return { spec: { ...spec, nodes: [{ ...node, ...value }] } };
}

function configProblems(value: unknown): readonly Diagnostic[] {
  const source = fileSource(JSON.stringify(value), "file");
  const parsed = parseConfig([{ settings: dataDir, problems: [] }, source], machine);
  return parsed.ok ? [] : parsed.error;
}

const dataDir = [{ name: "data_dir", value: "/var/lib/pgherd", origin: "test" }];
