// The store as a file, and back. A backup holds what users made; who the members are, who may work, and how far
// the clocks of the store have come is never taken back.
import { Database } from "bun:sqlite";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { storeBackupTimeoutMs } from "../base/limits.ts";
import { invalidInput, OperationError } from "../operations/errors.ts";
import { ask, type NodeAccess } from "../store/capabilities.ts";
import { StoreError } from "../store/store-error.ts";
import type { Member } from "./member.ts";
import { nodesOf } from "./open-store.ts";

/** The leader's copy; secrets in it are sealed under the cluster key. */
export async function backupStore(member: Member): Promise<Response> {
  const response = await send(member, "/db/backup");
  return new Response(response.body, {
    headers: {
      "content-type": "application/vnd.sqlite3",
      "content-disposition": `attachment; filename="pgherd-store.sqlite"`,
    },
  });
}

/** Throws invalid_input when the file is none of this cluster's. */
export async function restoreStore(member: Member, file: Uint8Array): Promise<void> {
  const { environment } = member;
  const present = await backupBytes(member);
  const directory = await mkdtemp(join(environment.config.data_dir, "restore-"));
  try {
    const [wanted, now] = [join(directory, "wanted"), join(directory, "now")];
    await writeFile(wanted, file, { mode: 0o600 });
    await writeFile(now, present, { mode: 0o600 });
    merge(wanted, now);
    const merged = new Uint8Array(await readFile(wanted));
    await send(member, "/db/load", { method: "POST", body: merged });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  environment.log.warn("restored the store from a backup", { bytes: file.length });
}

/** Tables whose present content stays. */
const KEPT = [
  "hosts",
  "host_statuses",
  "host_settings",
  "join_tokens",
  "cluster_settings",
  "worker_lease",
];

/** Puts what must not go back into the file that will be loaded. */
function merge(wanted: string, now: string): void {
  let database: Database | undefined;
  try {
    database = new Database(wanted, { strict: true });
    database.run("PRAGMA journal_mode = DELETE");
    database.run("ATTACH ? AS present", [now]);
    const same = database
      .query(
        "SELECT 1 FROM cluster a JOIN present.cluster b ON a.ca_certificate = b.ca_certificate",
      )
      .all();
    if (same.length !== 1) throw foreign("it is the backup of another cluster");
    for (const table of KEPT) {
      database.run(`DELETE FROM ${table}`);
      database.run(`INSERT INTO ${table} SELECT * FROM present.${table}`);
    }
    database.run(
      `UPDATE changes SET version = 1 + max(version, (SELECT version FROM present.changes))`,
    );
    database.run("INSERT OR IGNORE INTO operations_log SELECT * FROM present.operations_log");
    database.run("DETACH present");
  } catch (thrown) {
    if (thrown instanceof OperationError) throw thrown;
    throw foreign(`it cannot be read: ${messageOf(thrown)}`);
  } finally {
    database?.close();
  }
}

function foreign(why: string): OperationError {
  const message = `the file is no backup of this cluster's store: ${why}`;
  return invalidInput([{ path: "body", code: "invalid_backup", message }]);
}

async function backupBytes(member: Member): Promise<Uint8Array> {
  return (await send(member, "/db/backup")).bytes();
}

/** Backups and loads are passed on to the leader by whichever node is asked. */
async function send(
  member: Member,
  path: string,
  init: Parameters<typeof ask>[3] = {},
): Promise<Response> {
  const { environment, opened } = member;
  const nodes: readonly NodeAccess[] = nodesOf(environment, { ...member, rqlited: opened.rqlited });
  const failures: string[] = [];
  for (const node of nodes) {
    const deadline = environment.clock.deadline(storeBackupTimeoutMs);
    const response = await ask(node, path, deadline, init).catch((thrown: unknown) => {
      failures.push(`${node.url}: ${messageOf(thrown)}`);
      return undefined;
    });
    if (response?.ok) return response;
    if (response) failures.push(`${node.url}: ${(await response.text()).slice(0, 200)}`);
  }
  throw new StoreError("unavailable", failures.join("; "));
}
