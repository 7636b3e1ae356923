// Judges parsed SQL: is it one statement, and can that run inside a transaction? Works on the parse
// tree of PostgreSQL's own grammar; whoever parses is elsewhere, since a parser must be loaded first.

type Node = Readonly<Record<string, unknown>>;
type Refusal = (body: Node) => string | undefined;

const NOT_IN_TRANSACTION = "cannot run inside a transaction";

/** Kinds of statements that PostgreSQL refuses in a transaction block, or that would leave it. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  TransactionStmt: () => "controls the transaction, which belongs to the script as a whole",
  VacuumStmt: ({ is_vacuumcmd }) =>
    is_vacuumcmd === true ? `VACUUM ${NOT_IN_TRANSACTION}` : undefined,
  CreatedbStmt: () => `CREATE DATABASE ${NOT_IN_TRANSACTION}`,
  DropdbStmt: () => `DROP DATABASE ${NOT_IN_TRANSACTION}`,
  CreateTableSpaceStmt: () => `CREATE TABLESPACE ${NOT_IN_TRANSACTION}`,
  DropTableSpaceStmt: () => `DROP TABLESPACE ${NOT_IN_TRANSACTION}`,
  AlterSystemStmt: () => "ALTER SYSTEM would go past the settings of the spec; use postgresql_conf",
  AlterDatabaseStmt: ({ options }) =>
    hasOption(options, "tablespace") ? `moving a database ${NOT_IN_TRANSACTION}` : undefined,
  IndexStmt: concurrently,
  DropStmt: concurrently,
  AlterTableStmt: ({ cmds }) => (detachesConcurrently(cmds) ? concurrentRefusal : undefined),
  ReindexStmt: ({ kind, params }) => {
    if (hasOption(params, "concurrently")) return concurrentRefusal;
    const whole = /_(?:SCHEMA|SYSTEM|DATABASE)$/.test(String(kind));
    return whole ? `REINDEX of more than one table ${NOT_IN_TRANSACTION}` : undefined;
  },
  ClusterStmt: ({ relation }) =>
    relation === undefined ? `CLUSTER without a table ${NOT_IN_TRANSACTION}` : undefined,
  CreateSubscriptionStmt: ({ options }) =>
    hasOption(options, "connect") || hasOption(options, "create_slot")
      ? undefined
      : `CREATE SUBSCRIPTION that creates a slot ${NOT_IN_TRANSACTION}`,
  DiscardStmt: ({ target }) =>
    target === "DISCARD_ALL" ? `DISCARD ALL ${NOT_IN_TRANSACTION}` : undefined,
  CopyStmt: ({ filename }) =>
    filename === undefined ? "COPY from or to the client is not possible in a script" : undefined,
};

const concurrentRefusal = `CONCURRENTLY ${NOT_IN_TRANSACTION}`;

/** Why a parse tree is not one statement that can run in a transaction; null when it is. */
export function statementProblem(tree: unknown): string | null {
  const statements = list(node(tree).stmts);
  if (statements.length === 0) return "holds no statement";
  if (statements.length > 1) return `holds ${statements.length} statements instead of one`;
  const [first] = Object.entries(node(node(statements[0]).stmt));
  if (first === undefined) return "holds no statement";
  const [kind, body] = first;
  return REFUSALS[kind]?.(node(body)) ?? null;
}

function concurrently(body: Node): string | undefined {
  return body.concurrent === true ? concurrentRefusal : undefined;
}

/** ALTER TABLE … DETACH PARTITION … CONCURRENTLY */
function detachesConcurrently(commands: unknown): boolean {
  return list(commands).some((command) => {
    const definition = node(node(node(command).AlterTableCmd).def);
    return node(definition.PartitionCmd).concurrent === true;
  });
}

function hasOption(options: unknown, name: string): boolean {
  return list(options).some((option) => node(node(option).DefElem).defname === name);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function node(value: unknown): Node {
  return isNode(value) ? value : {};
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
