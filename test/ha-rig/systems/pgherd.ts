// pgherd itself: its binary as the packaged service on every host, driven through its API, one node on all hosts.

import type { HostOptions } from "../../lab/host.ts";
import { eventually, Lab, type LabHost } from "../../lab/lab.ts";
import { type Body, cluster, healthy, LabMember } from "../../lab/members.ts";
import type { Epoch } from "../checks/epochs.ts";
import { find } from "../faults/processes.ts";
import {
  type Mode,
  POSTGRES_SETTINGS,
  type Setup,
  type System,
  TIMINGS,
  type Timings,
} from "../system.ts";
import { isPrimary } from "../workload/route.ts";
import type { Endpoint } from "../workload/session.ts";

const PORTS = { postgres: 5432, rest: 8008 } as const;
const database = "shop";
const node = "n1";
const createMs = 180_000;
/** What the fast profile promises to notice a lost host in. */
const fastestDetectionMs = 9_000;

const synchronous: Readonly<Record<Mode, object>> = {
  async: {},
  sync: { synchronous_mode: "on" },
  strict: { synchronous_mode: "on", synchronous_mode_strict: true },
  quorum: { synchronous_mode: "quorum", synchronous_mode_strict: true },
};

export class Pgherd implements System {
  readonly name = "pgherd";
  readonly lab: Lab;
  readonly hosts: readonly LabHost[];
  readonly login = { user: "rig", password: "rig-pass-word", database };
  #members: readonly LabMember[] = [];
  #setup: Setup = { mode: "async", timings: "usual", major: 17 };
  #instances = new Map<string, string>();
  #storePorts: readonly number[] = [];

  private constructor(lab: Lab, hosts: readonly LabHost[]) {
    this.lab = lab;
    this.hosts = hosts;
  }

  static async create(
    directory: string,
    image: string,
    names: readonly string[],
    options: HostOptions,
  ): Promise<System> {
    const lab = await Lab.up(directory, image);
    const hosts: LabHost[] = [];
    for (const name of names) hosts.push(await lab.host(name, options));
    return new Pgherd(lab, hosts);
  }

  static detectionMs(timings: Timings): number {
    const { ttl, loop_wait } = TIMINGS[timings];
    return timings === "usual" ? (ttl + loop_wait) * 1_000 : fastestDetectionMs;
  }

  get detectionMs(): number {
    return Pgherd.detectionMs(this.#setup.timings);
  }

  async up(setup: Setup): Promise<void> {
    this.#setup = setup;
    this.#members = await LabMember.startAll(this.hosts);
    await cluster(this.#members);
    await healthy(this.#members);
    const [first] = this.#members;
    if (!first) throw new Error("a system needs hosts");
    const made = await first.api("POST", "/v1/databases", {
      id: database,
      spec: this.#spec(await this.#postgresVersion(first.host)),
    });
    if (made.status_code !== 200) throw new Error(`create: ${JSON.stringify(made)}`);
    const task = await first.ended(made.task, createMs).catch((thrown: unknown) => ({
      status: "endless",
      error: String(thrown),
    }));
    if (task.status !== "completed") {
      const path = `/v1/databases/${database}/tasks/${made.task.task_id}/log`;
      const { entries } = await first.api("GET", path);
      const lines = (entries ?? []).slice(-8).map((entry: Body) => JSON.stringify(entry));
      throw new Error(`create: ${task.status}: ${task.error}\n${lines.join("\n")}`);
    }
    const { instances } = await first.api("GET", `/v1/databases/${database}`);
    for (const { host_id, id } of instances) this.#instances.set(host_id, id);
    // Every host chooses its own.
    const ports = await Promise.all(this.hosts.map(storePorts));
    this.#storePorts = [...new Set(ports.flat())];
    await eventually("a primary", () => this.#somePrimary(), createMs);
  }

  async #postgresVersion(host: LabHost): Promise<string> {
    const postgres = `/usr/lib/postgresql/${this.#setup.major}/bin/postgres`;
    const { stdout } = await host.exec([postgres, "--version"]);
    return /\d+\.\d+/.exec(stdout)?.[0] ?? "";
  }

  #spec(version: string): object {
    const { mode, timings, settings } = this.#setup;
    const times = timings === "usual" ? TIMINGS.usual : { profile: "fast" };
    return {
      database_name: database,
      postgres_version: version,
      port: PORTS.postgres,
      patroni_port: PORTS.rest,
      nodes: [{ name: node, host_ids: this.hosts.map(({ name }) => name) }],
      database_users: [
        {
          username: this.login.user,
          password: this.login.password,
          db_owner: true,
          attributes: ["LOGIN", "SUPERUSER"],
        },
      ],
      postgresql_conf: { ...POSTGRES_SETTINGS, ...settings },
      ha: { ...times, ...synchronous[mode] },
    };
  }

  async #somePrimary(): Promise<boolean> {
    const answers = await Promise.all(this.hosts.map((host) => isPrimary(this.primaryUrl(host))));
    return answers.includes(true);
  }

  async version(): Promise<string> {
    const [host] = this.hosts;
    if (!host) return "";
    const { stdout } = await host.exec(["bash", "-c", "pgherd version | head -1"]);
    return `${stdout.trim()}, PostgreSQL ${await this.#postgresVersion(host)}`;
  }

  endpoint({ name, address }: LabHost): Endpoint {
    return { host: name, address, port: PORTS.postgres };
  }

  primaryUrl({ address }: LabHost): string {
    return `http://${address}:${PORTS.rest}/primary`;
  }

  ports() {
    return { postgres: [PORTS.postgres], store: this.#storePorts };
  }

  command(kind: "agent" | "fencer" | "store"): RegExp | undefined {
    switch (kind) {
      case "agent":
        return /pgherd keeper --file/;
      case "fencer":
        return /pgherd fencer --file/;
      case "store":
        return /\/rqlited\S* /;
    }
  }

  dataDirectory(host: LabHost): string {
    const [postmaster] = find(this, host, "postmaster");
    const directory = /-D (\S+)/.exec(postmaster?.args ?? "")?.[1];
    if (directory === undefined) throw new Error(`${host.name}: no postmaster`);
    return directory;
  }

  async storeLeader(): Promise<LabHost | undefined> {
    for (const member of this.#members) if (await member.leads()) return member.host;
    return undefined;
  }

  async stopStore(host: LabHost): Promise<() => Promise<void>> {
    // The store's process is the server's child: it comes back as long as the server runs.
    await host.exec(["systemctl", "mask", "--runtime", "pgherd"]);
    await host.exec(["systemctl", "kill", "-s", "KILL", "pgherd"]);
    return async () => {
      await host.exec(["systemctl", "unmask", "--runtime", "pgherd"]);
      await host.exec(["systemctl", "start", "--no-block", "pgherd"]);
    };
  }

  async switchover(_: LabHost, to: LabHost): Promise<void> {
    const body = { candidate_instance_id: this.#instances.get(to.name) };
    await this.#change("POST", "switchover", body, to);
  }

  async pause(): Promise<void> {
    const path = `/v1/databases/${database}/nodes/${node}/pause`;
    const answer = await this.#members[0]?.api("POST", path, {});
    if (answer?.status_code !== 200 || answer.unconfirmed)
      throw new Error(`pause: ${JSON.stringify(answer)}`);
  }

  /** The store may be choosing a leader. */
  async resume(): Promise<void> {
    await eventually("the end of the pause", async () => {
      const path = `/v1/databases/${database}/nodes/${node}/resume`;
      const answers = await Promise.all(this.#members.map((member) => member.api("POST", path)));
      return answers.some(({ status_code }) => status_code === 200);
    });
  }

  makeSlot(name: string): Promise<void> {
    const slot = { name, type: "logical", plugin: "test_decoding", database };
    return this.#change("POST", "slots", slot);
  }

  dropSlot(name: string): Promise<void> {
    return this.#change("DELETE", `slots/${name}`);
  }

  /** Asks one host, the first unless it is said, for a change of the node and waits until it is done. */
  async #change(method: string, what: string, body?: object, asked?: LabHost): Promise<void> {
    const path = `/v1/databases/${database}/nodes/${node}/${what}`;
    const member = this.#members.find(({ host }) => host === (asked ?? this.hosts[0]));
    const task = await member?.change(method, path, body);
    if (task?.status !== "completed") throw new Error(`${method} ${what}: ${JSON.stringify(task)}`);
  }

  async cleanStop(host: LabHost): Promise<void> {
    await host.exec(["systemctl", "stop", ...this.#units(host)]);
  }

  async startAgain(host: LabHost): Promise<void> {
    await host.exec(["systemctl", "start", "--no-block", ...this.#units(host)]);
  }

  #units({ name }: LabHost): string[] {
    const instance = this.#instances.get(name);
    return [`pgherd-keeper-${instance}.service`, `pgherd-fencer-${instance}.service`];
  }

  /** Oldest first; undefined while the API does not tell who was primary when. */
  async epochs(): Promise<readonly Epoch[] | undefined> {
    const [member] = this.#members;
    const path = `/v1/databases/${database}/nodes/${node}/history`;
    const answer = await member?.api("GET", path);
    if (answer?.status_code !== 200) return undefined;
    const hosts = new Map([...this.#instances].map(([host, id]) => [id, host]));
    return answer.entries.toReversed().map((epoch: Body) => ({
      epoch: epoch.epoch,
      timeline: epoch.timeline,
      holder: hosts.get(epoch.instance_id) ?? epoch.instance_id,
    }));
  }

  async recordLacks(): Promise<string | undefined> {
    const path = `/v1/databases/${database}/nodes/${node}/synchronous`;
    const answer = await this.#members[0]?.api("GET", path);
    if (answer?.status_code !== 200) return `GET synchronous: ${answer?.status_code}`;
    return answer.degraded ? "no standby in the record" : undefined;
  }

  async keptAside(host: LabHost): Promise<readonly string[]> {
    const parent = this.dataDirectory(host).replace(/\/[^/]+$/, "");
    const find = ["find", parent, "-maxdepth", "1", "-name", "data.kept-*"];
    return (await host.exec(find)).stdout.split("\n").filter(Boolean);
  }

  async logs(host: LabHost): Promise<string> {
    const units = ["-u", "pgherd", "-u", "pgherd-keeper-*", "-u", "pgherd-fencer-*"];
    return (await host.exec(["journalctl", "--no-pager", "-o", "short-iso-precise", ...units]))
      .stdout;
  }
}

/** Ports that the host's member of the store listens on. */
async function storePorts(host: LabHost): Promise<readonly number[]> {
  const { stdout } = await host.exec(["ss", "-Hltnp"]);
  const lines = stdout.split("\n").filter((line) => line.includes("rqlited"));
  return lines.flatMap((line) => Number(/:(\d+)\s/.exec(line)?.[1] ?? 0) || []);
}
