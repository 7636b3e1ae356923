// Lab hosts with pgherd as a service, and the API of each as short calls.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostOptions } from "./host.ts";
import { eventually, type Lab, type LabHost } from "./lab.ts";

const root = join(import.meta.dir, "../..");

// Answers are checked field by field, whatever their shape.
export type Body = ReturnType<typeof JSON.parse>;

/** One host of the lab with a server on it. */
export class LabMember {
  readonly host: LabHost;
  readonly url: string;

  private constructor(host: LabHost) {
    this.host = host;
    this.url = `http://${host.address}:3000`;
  }

  /** Boots a host whose server runs as the packaged service and waits for init or join. */
  static async boot(lab: Lab, name: string, options: HostOptions = {}): Promise<LabMember> {
    return LabMember.#start(await lab.host(name, options));
  }

  /** Boots several hosts at once. */
  static async bootAll(
    lab: Lab,
    names: readonly string[],
    options: HostOptions = {},
  ): Promise<readonly LabMember[]> {
    const hosts: LabHost[] = [];
    for (const name of names) hosts.push(await lab.host(name, options));
    return LabMember.startAll(hosts);
  }

  /** Boots hosts that are plugged in already. */
  static startAll(hosts: readonly LabHost[]): Promise<readonly LabMember[]> {
    return Promise.all(hosts.map((host) => LabMember.#start(host)));
  }

  static async #start(host: LabHost): Promise<LabMember> {
    const at = (path: string) => join(host.root, path);
    copyFileSync(
      process.env.PGHERD_BINARY ?? join(root, "dist/pgherd"),
      at("usr/local/bin/pgherd"),
    );
    mkdirSync(at("etc/pgherd"), { recursive: true });
    copyFileSync(join(root, "packaging/pgherd.service"), at("etc/systemd/system/pgherd.service"));
    const { address } = host;
    writeFileSync(
      at("etc/pgherd/pgherd.yaml"),
      `data_dir: /var/lib/pgherd\nhttp:\n  bind_addr: ${address}\n` +
        `peer_addresses: [${address}]\nclient_addresses: [${address}]\n`,
    );
    await host.start();
    await host.exec(["chmod", "755", "/usr/local/bin/pgherd"]);
    await host.exec(["systemctl", "enable", "--now", "pgherd"]);
    const member = new LabMember(host);
    await member.alive();
    return member;
  }

  /** Resolves when the server answers at all. */
  async alive(): Promise<void> {
    await eventually(
      `${this.host.name} answers`,
      async () => (await this.api("GET", "/livez", undefined, 1_000)).status_code === 200,
    );
  }

  /** One request; `seconds` is how long it took. A connection that fails has status 0. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    timeoutMs = 60_000,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Body> {
    const startMs = performance.now();
    const seconds = () => (performance.now() - startMs) / 1_000;
    try {
      const response = await fetch(`${this.url}${path}`, {
        method,
        headers: { "content-type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const answer: unknown = await response.json().catch(() => ({}));
      return {
        ...Object(answer),
        status_code: response.status,
        retry_after: response.headers.get("retry-after"),
        seconds: seconds(),
      };
    } catch (thrown) {
      return { status_code: 0, error: String(thrown), seconds: seconds() };
    }
  }

  /** Asks for a change and waits until its task has ended; answers the task. */
  async change(method: string, path: string, body?: unknown): Promise<Body> {
    const answer = await this.api(method, path, body);
    if (answer.status_code !== 200) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return this.ended(answer.task);
  }

  /** Waits until a task has ended. */
  async ended(task: Body, timeoutMs = 90_000): Promise<Body> {
    const path = `/v1/databases/${task.entity_id}/tasks/${task.task_id}`;
    let now: Body;
    const isOver = async () => {
      now = await this.api("GET", path);
      return ["completed", "failed", "canceled"].includes(now.status);
    };
    await eventually(`task ${task.type} of ${task.entity_id}`, isOver, timeoutMs).catch(
      async (thrown: unknown) => {
        const { entries = [] } = await this.api("GET", `${path}/log`);
        const lines = entries.slice(-10).map((entry: Body) => JSON.stringify(entry));
        throw new Error([String(thrown), JSON.stringify(now), ...lines].join("\n"));
      },
    );
    return now;
  }

  /** Whether this host's member of the store leads it. */
  async leads(): Promise<boolean> {
    const { stdout } = await this.host.exec(
      ["journalctl", "-u", "pgherd", "-o", "cat", "--no-pager", "-g", "worker lease"],
      { check: false },
    );
    const last = stdout.trim().split("\n").at(-1) ?? "";
    return last.includes("worker lease taken");
  }
}

/** Makes the first a cluster and lets the others join it. */
export async function cluster(members: readonly LabMember[]): Promise<void> {
  const [first, ...others] = members;
  if (!first) throw new Error("a cluster needs a host");
  const made = await first.api("POST", "/v1/cluster/init", {});
  if (made.status_code !== 200) throw new Error(`init: ${JSON.stringify(made)}`);
  for (const member of others) {
    const { token, server_urls } = made;
    const joined = await member.api("POST", "/v1/cluster/join", { token, server_urls });
    if (joined.status_code !== 204) throw new Error(`join: ${JSON.stringify(joined)}`);
  }
}

/** The state of every host as one member sees it. */
export async function states(through: LabMember): Promise<Record<string, string>> {
  const { hosts } = await through.api("GET", "/v1/hosts");
  return Object.fromEntries((hosts ?? []).map((host: Body) => [host.id, host.status.state]));
}

/** Waits until every member sees every member healthy. */
export function healthy(members: readonly LabMember[], timeoutMs = 60_000): Promise<void> {
  return eventually(
    "every host sees every host healthy",
    async () => {
      for (const member of members) {
        const seen = await states(member);
        if (!members.every(({ host }) => seen[host.name] === "healthy")) return false;
      }
      return true;
    },
    timeoutMs,
  );
}

/** Waits until exactly one of the members leads, and gives it. */
export async function leaderOf(members: readonly LabMember[]): Promise<LabMember> {
  let found: LabMember | undefined;
  await eventually("somebody leads", async () => {
    const leads = await Promise.all(members.map((member) => member.leads()));
    found = members.find((_, at) => leads[at]);
    return leads.filter(Boolean).length === 1;
  });
  if (!found) throw new Error("nobody leads");
  return found;
}

/** A database with one node on each of the hosts. */
export function specOn(hostIds: readonly string[], overrides: object = {}): object {
  return {
    database_name: "shop",
    port: 0,
    patroni_port: 0,
    nodes: hostIds.map((id, index) => ({ name: `n${index + 1}`, host_ids: [id] })),
    database_users: [
      { username: "admin", password: "s3cret-pass", db_owner: true, attributes: ["LOGIN"] },
    ],
    postgresql_conf: { max_connections: 40, shared_buffers: "32MB" },
    ...overrides,
  };
}

/** One statement at one node of a database, asked from the host itself. */
export async function query(
  member: LabMember,
  databaseId: string,
  text: string,
  through = member,
  database = "shop",
): Promise<string> {
  const { instances } = await through.api("GET", `/v1/databases/${databaseId}`);
  const here = instances.find((instance: Body) => instance.host_id === member.host.name);
  const { addresses, port } = here.connection_info;
  const { stdout } = await member.host.exec(
    ["psql", "-XAtc", text, `postgresql://admin@${addresses[0]}:${port}/${database}`],
    { env: { PGPASSWORD: "s3cret-pass", PGCONNECT_TIMEOUT: "5" } },
  );
  return stdout.trim();
}
