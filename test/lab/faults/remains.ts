// Looks for what is left of a database anywhere in the cluster: processes, units, files, listening ports, rows.
import { Database } from "bun:sqlite";
import type { Body, LabMember } from "../members.ts";

/** Kept on purpose after a database is gone: what was done or seen at a time that stands beside it. */
const history = new Set([
  "host_statuses",
  "tasks",
  "task_steps",
  "task_log",
  "operations_log",
  "idempotency_keys",
  "ha_epochs",
]);

/** Sentences about what is left; none when the database is gone for good. */
export async function remains(
  members: readonly LabMember[],
  databaseId: string,
  ports: ReadonlyMap<string, readonly number[]>,
): Promise<readonly string[]> {
  const [first] = members;
  if (!first) return [];
  const onHosts = members.map((member) =>
    onHost(member, databaseId, ports.get(member.host.name) ?? []),
  );
  const found = await Promise.all([inStore(first, databaseId), ...onHosts]);
  return found.flat();
}

/** The ports of a database's instances, by host. */
export function portsOf(database: Body): ReadonlyMap<string, readonly number[]> {
  const ports = new Map<string, number[]>();
  for (const { host_id, connection_info } of database.instances ?? []) {
    if (!connection_info?.port) continue;
    ports.set(host_id, [...(ports.get(host_id) ?? []), connection_info.port]);
  }
  return ports;
}

async function onHost(
  { host }: LabMember,
  databaseId: string,
  ports: readonly number[],
): Promise<readonly string[]> {
  const name = `${databaseId}-n`;
  const script = `
    ps -eo pid,args --no-headers | grep -F ${name} | grep -v -e 'grep -F' -e 'bash -c' | sed 's/^/process /'
    find / -xdev -path /proc -prune -o -path /sys -prune -o -name '*${name}*' -print 2>/dev/null | sed 's/^/file /'
    find /run /var/lib/pgherd /var/lib/postgresql /tmp -name '*${name}*' 2>/dev/null | sed 's/^/file /'
    systemctl list-units --all --plain --no-legend '*${name}*' | sed 's/^/unit /'
    ss -Hltn | awk '{print $4}' | grep -E ':(${ports.join("|") || "none"})$' | sed 's/^/listens /'
    true`;
  const { stdout } = await host.exec(["bash", "-c", script]);
  const lines = stdout.split("\n").filter((line) => line.trim() !== "");
  return [...new Set(lines)].map((line) => `${host.name}: ${line.trim()}`);
}

async function inStore(member: LabMember, databaseId: string): Promise<readonly string[]> {
  const response = await fetch(`${member.url}/v1/cluster/backup`, {
    signal: AbortSignal.timeout(30_000),
  });
  if (!response.ok) throw new Error(`backup of the store: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  // The file says that it has a write-ahead log beside it; in memory there is none.
  bytes.set([1, 1], 18);
  const store = Database.deserialize(bytes);
  try {
    const tables = store
      .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'")
      .all();
    return tables
      .filter(({ name }) => !history.has(name))
      .flatMap(({ name }) => {
        const rows = store.query<Record<string, unknown>, []>(`SELECT * FROM "${name}"`).all();
        const mentions = rows.filter((row) => mentioned(row, databaseId));
        return mentions.map((row) => `row of ${name}: ${JSON.stringify(row).slice(0, 200)}`);
      });
  } finally {
    store.close();
  }
}

/** Whether a row is about the database: its id, or the id of one of its instances. */
function mentioned(row: Readonly<Record<string, unknown>>, databaseId: string): boolean {
  return Object.values(row).some(
    (value) =>
      value === databaseId || (typeof value === "string" && value.includes(`${databaseId}-n`)),
  );
}
