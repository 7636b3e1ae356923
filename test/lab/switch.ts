// The switch between the hosts of a lab: plugs them in, cuts them off, makes their lines slow, lossy or narrow.
// It lives in a network namespace of its own, so that firewall rules of the machine cannot touch it.
import { join } from "node:path";
import { eventually, run } from "./command.ts";

/** What happens to packets on the way from one host to another. */
export interface Line {
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly lossPercent?: number;
}

/** Something with a place at the switch. */
export interface Addressed {
  readonly name: string;
  readonly address: string;
}

interface Queue {
  readonly number: number;
  readonly child: Bun.Subprocess;
}

export class Switch {
  readonly #namespace: string;
  readonly #subnet: string;
  readonly #queues: Queue[] = [];
  readonly #narrow = new Set<string>();
  readonly #unplugged = new Set<string>();
  #rules = false;

  constructor(namespace: string, subnet: string) {
    this.#namespace = namespace;
    this.#subnet = subnet;
  }

  async up(): Promise<void> {
    const sw = this.#namespace;
    await run(["ip", "netns", "add", sw]);
    await this.#ip("link", "set", "lo", "up");
    await this.#ip("link", "add", "br0", "type", "bridge");
    await this.#ip("link", "set", "br0", "up");
    const port = ["type", "veth", "peer", "name", "root", "netns", sw];
    await run(["ip", "link", "add", "lab-root", ...port]);
    await this.#ip("link", "set", "root", "master", "br0", "up");
    await run(["ip", "addr", "add", `${this.#subnet}.1/24`, "dev", "lab-root"]);
    await run(["ip", "link", "set", "lab-root", "up"]);
    await this.#exec(["nft", "-f", "-"], {
      stdin: `table bridge lab {
        set cut { type ipv4_addr . ipv4_addr; }
        set ports { type ipv4_addr . ipv4_addr . inet_service; }
        chain forward { type filter hook forward priority 0; policy accept;
          ip saddr . ip daddr @cut drop
          ip saddr . ip daddr . tcp dport @ports drop
          ip saddr . ip daddr . tcp sport @ports drop
          arp saddr ip . arp daddr ip @cut drop
        }
      }\n`,
    });
  }

  /** Connects a host's namespace: there the line is called eth0, here it has the host's name. */
  async plug(host: Addressed, namespace: string): Promise<void> {
    const line = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
    await this.#ip("link", "add", host.name, ...line);
    await this.#ip("link", "set", host.name, "master", "br0", "up");
    await run(["ip", "-n", namespace, "addr", "add", `${host.address}/24`, "dev", "eth0"]);
    await run(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
  }

  /** Drops what `from` sends to `to`; the other direction stays. */
  async cutOneWay(from: Addressed, to: Addressed): Promise<void> {
    const pair = `{ ${from.address} . ${to.address} }`;
    await this.#exec(["nft", "add", "element", "bridge", "lab", "cut", pair]);
  }

  /** Drops what `from` and `to` say to each other's TCP ports of these numbers. */
  async cutPorts(from: Addressed, to: Addressed, ports: readonly number[]): Promise<void> {
    const elements = ports.flatMap((port) => [
      `${from.address} . ${to.address} . ${port}`,
      `${to.address} . ${from.address} . ${port}`,
    ]);
    const set = `{ ${elements.join(", ")} }`;
    await this.#exec(["nft", "add", "element", "bridge", "lab", "ports", set]);
  }

  /** Pulls the cable: the host sees that its line is dead, and nobody reaches it, this machine included. */
  async pull(host: Addressed): Promise<void> {
    this.#unplugged.add(host.name);
    await this.#ip("link", "set", host.name, "down");
  }

  /** Slows and thins out what `from` sends to `to`. */
  async worsen(from: Addressed, to: Addressed, line: Line): Promise<void> {
    this.#rules = true;
    const number = this.#queues.length;
    const child = Bun.spawn(
      [
        ...["ip", "netns", "exec", this.#namespace, process.execPath],
        join(import.meta.dir, "slow-line.ts"),
        ...[number, line.delayMs ?? 0, line.jitterMs ?? 0, line.lossPercent ?? 0].map(String),
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    this.#queues.push({ number, child });
    const first = await child.stdout.getReader().read();
    if (first.done) throw new Error("the slow line ended before it began");
    await this.#exec([
      ...["iptables", "-A", "FORWARD", "-s", from.address, "-d", to.address],
      ...["-j", "NFQUEUE", "--queue-num", String(number), "--queue-bypass"],
    ]);
  }

  /** Bounds what reaches a host, for example `20mbit`. */
  async narrow(host: Addressed, rate: string): Promise<void> {
    this.#narrow.add(host.name);
    const shape = ["root", "tbf", "rate", rate, "burst", "64k", "latency", "300ms"];
    await this.#exec(["tc", "qdisc", "replace", "dev", host.name, ...shape]);
  }

  /** Ends every cut and every slow, lossy, narrow or dead line. */
  async heal(): Promise<void> {
    for (const set of ["cut", "ports"])
      await this.#exec(["nft", "flush", "set", "bridge", "lab", set]);
    if (this.#rules) await this.#exec(["iptables", "-F", "FORWARD"]);
    this.#rules = false;
    for (const { child } of this.#queues.splice(0)) {
      child.kill("SIGKILL");
      await child.exited;
    }
    for (const name of this.#narrow) await this.#exec(["tc", "qdisc", "del", "dev", name, "root"]);
    this.#narrow.clear();
    for (const name of this.#unplugged) {
      await this.#ip("link", "set", name, "up");
      await eventually(`${name} is plugged in`, async () =>
        (await run(["ip", "-n", this.#namespace, "link", "show", name])).stdout.includes(
          "LOWER_UP",
        ),
      );
    }
    this.#unplugged.clear();
  }

  async down(): Promise<void> {
    for (const { child } of this.#queues.splice(0)) child.kill("SIGKILL");
    await run(["ip", "link", "del", "lab-root"], { check: false });
    await run(["ip", "netns", "del", this.#namespace], { check: false });
  }

  #ip(...argv: readonly string[]) {
    return run(["ip", "-n", this.#namespace, ...argv]);
  }

  #exec(argv: readonly string[], options: { readonly stdin?: string } = {}) {
    return run(["ip", "netns", "exec", this.#namespace, ...argv], options);
  }
}
