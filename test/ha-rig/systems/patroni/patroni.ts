// Patroni with etcd, as Debian packages them, one of each per host: what the product is measured beside.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { HostOptions } from "../../../lab/host.ts";
import { eventually, Lab, type LabHost } from "../../../lab/lab.ts";
import type { Epoch } from "../../checks/epochs.ts";
import { type Setup, type System, TIMINGS, type Timings } from "../../system.ts";
import { isPrimary } from "../../workload/route.ts";
import type { Endpoint } from "../../workload/session.ts";
import { DATA_DIRECTORY, etcdConfiguration, PORTS, patroniConfiguration } from "./configuration.ts";

const bootMs = 60_000;
const switchoverMs = 90_000;

export class Patroni implements System {
  readonly name = "patroni";
  readonly lab: Lab;
  readonly hosts: readonly LabHost[];
  readonly login = { user: "rig", password: "rig-pass", database: "shop" };
  #setup: Setup = { mode: "async", timings: "usual", major: 17 };

  private constructor(lab: Lab, hosts: readonly LabHost[]) {
    this.lab = lab;
    this.hosts = hosts;
  }

  /** `image` is the lab's, with Patroni's layer above it (layer.sh). */
  static async create(
    directory: string,
    image: string,
    names: readonly string[],
    options: HostOptions,
  ): Promise<System> {
    const lab = await Lab.up(directory, image);
    const hosts: LabHost[] = [];
    for (const name of names) hosts.push(await lab.host(name, options));
    return new Patroni(lab, hosts);
  }

  static detectionMs(timings: Timings): number {
    const { ttl, loop_wait } = TIMINGS[timings];
    return (ttl + loop_wait) * 1_000;
  }

  get detectionMs(): number {
    return Patroni.detectionMs(this.#setup.timings);
  }

  async up(setup: Setup): Promise<void> {
    this.#setup = setup;
    const put = (host: LabHost, path: string, text: string) => {
      mkdirSync(dirname(join(host.root, path)), { recursive: true });
      writeFileSync(join(host.root, path), text);
    };
    for (const host of this.hosts) {
      put(host, "etc/patroni/config.yml", patroniConfiguration(host, this.hosts, setup));
      put(host, "etc/default/etcd", etcdConfiguration(host, this.hosts));
    }
    await Promise.all(this.hosts.map((host) => host.start()));
    await Promise.all(
      this.hosts.map(async (host) => {
        await host.exec([
          "chown",
          "-R",
          "postgres:postgres",
          "/var/lib/postgresql",
          "/etc/patroni",
        ]);
        await host.exec(["chmod", "700", "/etc/patroni/config.yml"]);
        await host.exec(["systemctl", "enable", "--now", "etcd"]);
      }),
    );
    const [first, ...others] = this.hosts;
    if (!first) throw new Error("a system needs hosts");
    await first.exec(["systemctl", "enable", "--now", "patroni"]);
    await eventually("a primary", () => isPrimary(this.primaryUrl(first)), bootMs);
    await this.#createDatabase(first);
    for (const host of others) await host.exec(["systemctl", "enable", "--now", "patroni"]);
  }

  async version(): Promise<string> {
    const [host] = this.hosts;
    const command = "patroni --version; etcd --version | head -1; postgres --version";
    const path = `/usr/lib/postgresql/${this.#setup.major}/bin:/usr/bin:/bin`;
    const output = await host?.exec(["bash", "-c", command], { env: { PATH: path } });
    return output?.stdout.trim().replaceAll("\n", ", ") ?? "";
  }

  endpoint({ name, address }: LabHost): Endpoint {
    return { host: name, address, port: PORTS.postgres };
  }

  primaryUrl({ address }: LabHost): string {
    return `http://${address}:${PORTS.rest}/primary`;
  }

  ports() {
    return { postgres: [PORTS.postgres], store: [PORTS.etcd, PORTS.etcdPeers] };
  }

  command(kind: "agent" | "fencer" | "store"): RegExp | undefined {
    switch (kind) {
      case "agent":
        return /python3? \/usr\/bin\/patroni/;
      case "fencer":
        return undefined;
      case "store":
        return /^\/usr\/bin\/etcd /;
    }
  }

  dataDirectory(): string {
    return DATA_DIRECTORY;
  }

  async storeLeader(): Promise<LabHost | undefined> {
    for (const host of this.hosts) {
      const url = `http://${host.address}:${PORTS.etcd}/v3/maintenance/status`;
      const signal = AbortSignal.timeout(1_000);
      const answer = await fetch(url, { method: "POST", body: "{}", signal }).catch(
        () => undefined,
      );
      if (!answer?.ok) continue;
      const status: { leader?: string; header?: { member_id?: string } } = JSON.parse(
        await answer.text(),
      );
      if (status.leader !== undefined && status.leader === status.header?.member_id) return host;
    }
    return undefined;
  }

  async stopStore(host: LabHost): Promise<() => Promise<void>> {
    await host.exec(["systemctl", "mask", "--runtime", "etcd"]);
    await host.exec(["systemctl", "kill", "-s", "KILL", "etcd"]);
    return async () => {
      await host.exec(["systemctl", "unmask", "--runtime", "etcd"]);
      await host.exec(["systemctl", "start", "--no-block", "etcd"]);
    };
  }

  async switchover(from: LabHost, to: LabHost): Promise<void> {
    const answer = await fetch(`http://${from.address}:${PORTS.rest}/switchover`, {
      method: "POST",
      body: JSON.stringify({ leader: from.name, candidate: to.name }),
      signal: AbortSignal.timeout(switchoverMs),
    });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`switchover: ${answer.status} ${text}`);
  }

  async pause(): Promise<void> {
    await this.#configure({ pause: true });
    await eventually("every member knows of the pause", async () => {
      const answers = await Promise.all(
        this.hosts.map(({ address }) => fetch(`http://${address}:${PORTS.rest}/patroni`)),
      );
      const states = await Promise.all(answers.map((answer): Promise<unknown> => answer.json()));
      return states.every((state) => Object(state).pause === true);
    });
  }

  resume(): Promise<void> {
    return this.#configure({ pause: null });
  }

  makeSlot(name: string): Promise<void> {
    const { database } = this.login;
    return this.#configure({
      slots: { [name]: { type: "logical", database, plugin: "test_decoding" } },
    });
  }

  dropSlot(name: string): Promise<void> {
    return this.#configure({ slots: { [name]: null } });
  }

  async #configure(change: object): Promise<void> {
    const body = JSON.stringify(change);
    const signal = AbortSignal.timeout(switchoverMs);
    const [host] = this.hosts;
    const url = `http://${host?.address}:${PORTS.rest}/config`;
    const answer = await fetch(url, { method: "PATCH", body, signal });
    if (answer.status !== 200) throw new Error(`${body}: ${answer.status}`);
  }

  async cleanStop(host: LabHost): Promise<void> {
    await host.exec(["systemctl", "stop", "patroni"]);
  }

  async startAgain(host: LabHost): Promise<void> {
    await host.exec(["systemctl", "start", "patroni"]);
  }

  /** Rows of /history are [timeline that ended, where, why, when, who came after]. */
  async epochs(): Promise<readonly Epoch[]> {
    const [host] = this.hosts;
    const answer = await fetch(`http://${host?.address}:${PORTS.rest}/history`);
    const rows: [number, number, string, string?, string?][] = JSON.parse(await answer.text());
    return rows.map(([ended, , , , holder = ""]) => ({
      epoch: ended + 1,
      timeline: ended + 1,
      holder,
    }));
  }

  async keptAside(host: LabHost): Promise<readonly string[]> {
    const find = ["find", dirname(DATA_DIRECTORY), "-maxdepth", "1", "-name", "data[._]*"];
    return (await host.exec(find)).stdout.split("\n").filter(Boolean);
  }

  async logs(host: LabHost): Promise<string> {
    const units = ["-u", "patroni", "-u", "etcd"];
    return (await host.exec(["journalctl", "--no-pager", "-o", "short-iso-precise", ...units]))
      .stdout;
  }

  async #createDatabase(host: LabHost): Promise<void> {
    const { user, password, database } = this.login;
    for (const sql of [
      `CREATE ROLE ${user} SUPERUSER LOGIN PASSWORD '${password}'`,
      `CREATE DATABASE ${database} OWNER ${user}`,
    ]) {
      await host.exec(["runuser", "-u", "postgres", "--", "psql", "-XqAtc", sql, "postgres"]);
    }
  }
}
