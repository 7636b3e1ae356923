// Every rule of a spec that needs nothing but the spec. All problems are found at once, each with its
// path; rules of one subject are in the validate-*.ts file of their name.
import type { Diagnostic } from "../base/result.ts";
import type { DatabaseNodeSpec, DatabaseScripts, DatabaseSpec } from "./database-spec.ts";
import { checkIdentifier, checkUnique, problem } from "./problem.ts";
import { checkOrchestratorOpts } from "./service-spec.ts";
import { checkBackup } from "./validate-backup.ts";
import { checkConf } from "./validate-conf.ts";
import { checkHa } from "./validate-ha.ts";
import { checkLimits, checkNodes } from "./validate-nodes.ts";
import { checkPorts } from "./validate-ports.ts";
import { checkRestAuthentication } from "./validate-rest.ts";
import { checkServices } from "./validate-service-spec.ts";
import { checkSlots } from "./validate-slots.ts";
import { checkUsers, nameProblem } from "./validate-users.ts";

export interface ValidationContext {
  /** Whether the hosts' orchestrator can run services. */
  readonly services: boolean;
  /** Whether nodes replicate with Spock. */
  readonly spock: boolean;
  /** Why a text is not one SQL statement that can run in a transaction; null when it is. */
  readonly parseStatement: (sql: string) => string | null;
  /** Limits the length of service ids. */
  readonly databaseId?: string;
}

/** Databases that initdb makes and that are not for applications. */
const TEMPLATES = ["template0", "template1"];

/** Problems of the ids of a request. */
export function validateIds(ids: {
  readonly id?: string;
  readonly tenant_id?: string;
}): readonly Diagnostic[] {
  return [...checkIdentifier("id", ids.id), ...checkIdentifier("tenant_id", ids.tenant_id)];
}

/** Problems of a spec whose shape is right. */
export function validateDatabaseSpec(
  spec: DatabaseSpec,
  context: ValidationContext,
): readonly Diagnostic[] {
  return [
    ...checkDatabaseName(spec.database_name),
    ...checkLevel(spec, "", context),
    ...checkNodes(spec),
    ...spec.nodes.flatMap((node, index) => checkLevel(node, `nodes[${index}].`, context)),
    ...checkPorts(spec),
    ...checkHa(spec),
    ...checkSlots(spec),
    ...checkUsers(spec),
    ...checkUnique(spec.extensions ?? [], (index) => `extensions[${index}]`, "extension"),
    ...checkScripts(spec.scripts ?? {}, context),
    ...checkServices(spec, context),
  ];
}

/** What can be said of a database and of a node alike. */
function checkLevel(
  level: DatabaseSpec | DatabaseNodeSpec,
  prefix: string,
  context: ValidationContext,
): readonly Diagnostic[] {
  return [
    ...checkLimits(level, prefix),
    ...checkConf(level, prefix, context),
    ...checkBackup(level, prefix),
    ...checkRestAuthentication(level, prefix),
    ...checkOrchestratorOpts(level.orchestrator_opts, `${prefix}orchestrator_opts`, "instance"),
  ];
}

function checkDatabaseName(name: string): readonly Diagnostic[] {
  const wrong = nameProblem(name);
  if (wrong !== undefined) return [problem("database_name", "malformed", wrong)];
  return TEMPLATES.includes(name)
    ? [problem("database_name", "reserved", `${name} belongs to PostgreSQL`)]
    : [];
}

function checkScripts(scripts: DatabaseScripts, context: ValidationContext): readonly Diagnostic[] {
  return Object.entries(scripts).flatMap(([script, statements]) =>
    statements.flatMap((sql, index) => {
      const wrong = sql.includes("\0") ? "must not contain NUL" : context.parseStatement(sql);
      return wrong === null ? [] : [problem(`scripts.${script}[${index}]`, "malformed", wrong)];
    }),
  );
}
