// Lab hosts that have only sshd and PostgreSQL, and the tasks that make them hosts of a cluster.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ExecOptions, eventually, type Output, run } from "./command.ts";
import type { HostOptions } from "./host.ts";
import type { Lab, LabHost } from "./lab.ts";
import type { Body, LabMember } from "./members.ts";

/** A machine with sshd and PostgreSQL. */
export class LabMachine {
  readonly host: LabHost;
  /** Text of the private key that root lets in. */
  readonly key: string;

  private constructor(host: LabHost, key: string) {
    this.host = host;
    this.key = key;
  }

  /** Boots it; root lets in a key that was made for it. */
  static async boot(lab: Lab, name: string, options: HostOptions = {}): Promise<LabMachine> {
    const host = await lab.host(name, options);
    const key = await makeKey(join(host.directory, "key"));
    const home = join(host.root, "root/.ssh");
    mkdirSync(home, { recursive: true, mode: 0o700 });
    writeFileSync(join(home, "authorized_keys"), key.publicText, { mode: 0o600 });
    chmodSync(join(host.root, "root"), 0o700);
    await host.start();
    const machine = new LabMachine(host, key.privateText);
    await eventually(
      `${name} has sshd`,
      async () => (await machine.shell("ss -Hltn sport = :22")) !== "",
    );
    return machine;
  }

  /** Lines of a public key of its sshd. */
  get hostKey(): string {
    const path = join(this.host.root, "etc/ssh/ssh_host_ed25519_key.pub");
    return readFileSync(path, "utf8").trim();
  }

  /** The body that adds it. */
  request(ssh: Body = {}, more: Body = {}): Body {
    const { name: id, address } = this.host;
    const way = { address, private_key: this.key, host_key: this.hostKey, ...ssh };
    return { id, ssh: way, ...more };
  }

  async shell(script: string, options: ExecOptions = {}): Promise<string> {
    const { stdout }: Output = await this.host.exec(["bash", "-c", script], options);
    return stdout.trim();
  }

  /** Everything of pgherd that is there: files, units, processes. */
  async traces(): Promise<string> {
    const files =
      "find / -xdev \\( -name '*pgherd*' -o -path '/var/lib/pgherd/*' \\) -not -path '/proc/*' " +
      "-not -path '/sys/*' -not -path /var/lib/pgherd; find /var/lib/pgherd -mindepth 1";
    const processes = "ps -eo comm,args | grep -E '^(pgherd|postgres) ' || true";
    const units = "systemctl list-units --all --no-legend 'pgherd*'";
    return this.shell(`${files}; ${processes}; ${units}`);
  }
}

/** A key pair of OpenSSH. */
export async function makeKey(
  path: string,
): Promise<{ readonly privateText: string; readonly publicText: string }> {
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]);
  return {
    privateText: readFileSync(path, "utf8"),
    publicText: readFileSync(`${path}.pub`, "utf8"),
  };
}

/** Adds a machine and waits until the task has ended; answers the task with its log when it failed. */
export async function addMachine(through: LabMember, request: Body): Promise<Body> {
  const answer = await through.api("POST", "/v1/hosts", request, 120_000);
  if (answer.status_code !== 200) throw new Error(`add host: ${JSON.stringify(answer)}`);
  return hostTaskEnd(through, answer.task);
}

/** Waits until a task of a host has ended. */
export async function hostTaskEnd(through: LabMember, task: Body): Promise<Body> {
  const path = `/v1/hosts/${task.entity_id}/tasks/${task.task_id}`;
  let now: Body;
  await eventually(
    `task ${task.type} of ${task.entity_id}`,
    async () => {
      now = await through.api("GET", path);
      return ["completed", "failed", "canceled"].includes(now.status);
    },
    180_000,
  );
  if (now.status === "completed") return now;
  const { entries } = await through.api("GET", `${path}/logs`);
  return { ...now, log: (entries ?? []).map(({ message }: Body) => message) };
}

/** State of a host as one member sees it. */
export async function stateOf(through: LabMember, id: string): Promise<string> {
  const { status } = await through.api("GET", `/v1/hosts/${id}`);
  return String(status?.state);
}
