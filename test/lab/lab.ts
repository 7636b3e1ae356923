// Simulated hosts on one machine: namespaces over one root file system, a switch that can cut links.
// Runs inside box.sh, so that nothing of it outlives the test. Reboot, power loss, freeze and partition are single calls.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const here = import.meta.dir;
const legacyControllers = [
  "memory",
  "pids",
  "cpu",
  "cpuacct",
  "cpuset",
  "devices",
  "freezer",
  "blkio",
  "systemd",
];
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly timeoutMs?: number;
  /** Throw when the command fails (the default) or give its output whatever came of it. */
  readonly check?: boolean;
}

/** Whether the control groups of this machine are the legacy hierarchies. */
function legacyCgroups(): boolean {
  return existsSync("/sys/fs/cgroup/memory/tasks");
}

async function run(argv: readonly string[], options: ExecOptions = {}): Promise<Output> {
  const child = Bun.spawn([...argv], {
    stdin: options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 60_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0 && (options.check ?? true)) {
    throw new Error(
      `${argv.join(" ").slice(0, 300)}: exit ${exitCode}: ${stderr.trim() || stdout.trim()}`,
    );
  }
  return { exitCode, stdout, stderr };
}

/** Waits until `probe` gives true, or throws with `what` after the bound. */
export async function eventually(
  what: string,
  probe: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    if (await probe()) return;
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(20);
  }
}

/** One simulated machine with its own address, processes, mounts and host name. */
export class LabHost {
  readonly name: string;
  readonly address: string;
  readonly directory: string;
  readonly #lab: Lab;
  #boot: Promise<void> | undefined;

  constructor(lab: Lab, name: string, octet: number) {
    this.#lab = lab;
    this.name = name;
    this.address = `${lab.subnet}.${octet}`;
    this.directory = join(lab.directory, name);
  }

  /** The host's root as a path of the outside, for putting files before it boots. */
  get root(): string {
    return join(this.directory, "root");
  }

  async create(image: string): Promise<void> {
    const { directory, name } = this;
    for (const part of ["upper", "work", "root", "data"])
      mkdirSync(join(directory, part), { recursive: true });
    await run([
      "mount",
      "-t",
      "overlay",
      `lab-${name}`,
      "-o",
      `lowerdir=${image},upperdir=${directory}/upper,workdir=${directory}/work`,
      this.root,
    ]);
    await run(["ip", "netns", "add", this.#namespace]);
    await run(["ip", "-n", this.#namespace, "link", "set", "lo", "up"]);
    await run([
      "ip",
      "-n",
      this.#lab.switchNamespace,
      "link",
      "add",
      name,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      this.#namespace,
    ]);
    await run(["ip", "-n", this.#lab.switchNamespace, "link", "set", name, "master", "br0", "up"]);
    await run(["ip", "-n", this.#namespace, "addr", "add", `${this.address}/24`, "dev", "eth0"]);
    await run(["ip", "-n", this.#namespace, "link", "set", "eth0", "up"]);
    // Nothing listens there: look-ups fail at once instead of timing out.
    writeFileSync(join(this.root, "etc/resolv.conf"), "nameserver 127.0.0.1\n");
    writeFileSync(
      join(this.root, "etc/machine-id"),
      `${crypto.randomUUID().replaceAll("-", "")}\n`,
    );
    writeFileSync(join(this.root, "etc/hostname"), `${name}\n`);
    writeFileSync(join(this.root, "etc/hosts"), `127.0.0.1 localhost\n${this.address} ${name}\n`);
    writeFileSync(
      join(directory, "binds"),
      `${directory}/data /var/lib/pgherd\n${directory}/postgresql /var/lib/postgresql\n`,
    );
  }

  /** Boots the host and returns when its service manager says that it runs. A reboot inside boots it again. */
  async start(): Promise<void> {
    rmSync(join(this.directory, "pid"), { force: true });
    this.#boot = this.#bootLoop();
    await eventually(`${this.name} has an init`, () => existsSync(join(this.directory, "pid")));
    await this.waitUp();
  }

  /** Resolves when the service manager has finished booting. */
  async waitUp(timeoutMs = 30_000): Promise<void> {
    await eventually(
      `${this.name} is up`,
      async () => {
        if (!this.alive()) return false;
        const { stdout } = await this.exec(["systemctl", "is-system-running"], { check: false });
        return /^(running|degraded)/.test(stdout);
      },
      timeoutMs,
    );
  }

  async #bootLoop(): Promise<void> {
    const cgroups = this.#cgroupDirectories();
    for (const directory of cgroups) mkdirSync(directory, { recursive: true });
    if (legacyCgroups()) {
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        writeFileSync(
          `/sys/fs/cgroup/cpuset/${this.#cgroup}/${file}`,
          readFileSync(`/sys/fs/cgroup/cpuset/${file}`, "utf8"),
        );
      }
    }
    const joinCgroups = cgroups
      .map((directory) => `echo $$ > ${directory}/cgroup.procs`)
      .join("; ");
    const kind = legacyCgroups() ? "units-v1" : "units-v2";
    for (;;) {
      const child = Bun.spawn(
        [
          "bash",
          "-c",
          `${joinCgroups}; exec setsid --wait nsenter --net=/run/netns/${this.#namespace} unshare --mount --uts --ipc --pid --cgroup --fork --propagation slave "$@"`,
          "boot",
          `${here}/host-init.sh`,
          this.directory,
          this.name,
          kind,
        ],
        {
          stdin: "ignore",
          stdout: Bun.file(join(this.directory, "console.log")),
          stderr: Bun.file(join(this.directory, "console.err")),
        },
      );
      // reboot(2) in a process namespace ends its init with HUP: 129.
      if ((await child.exited) !== 129) return;
    }
  }

  /** Runs a command inside the host, as root unless it changes user itself. */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<Output> {
    const env = Object.entries({
      PATH: hostPath,
      HOME: "/root",
      LANG: "C.UTF-8",
      ...options.env,
    }).map(([key, value]) => `${key}=${value}`);
    const joinCgroups = this.#cgroupDirectories()
      .map((directory) => `echo $$ > ${directory}/cgroup.procs`)
      .join("; ");
    return run(
      [
        "bash",
        "-c",
        `${joinCgroups}; exec "$@"`,
        "exec",
        "nsenter",
        "-t",
        String(this.pid()),
        "-m",
        "-u",
        "-i",
        "-n",
        "-p",
        "-C",
        "-r",
        "-w",
        "--",
        "env",
        "-i",
        ...env,
        ...argv,
      ],
      options,
    );
  }

  /** The init's process id as the lab sees it. */
  pid(): number {
    return Number(readFileSync(join(this.directory, "pid"), "utf8").trim());
  }

  alive(): boolean {
    return existsSync(join(this.directory, "pid")) && existsSync(`/proc/${this.pid()}/root/proc/1`);
  }

  /** Power loss: every process of the host is gone at once. */
  async powerOff(): Promise<void> {
    process.kill(this.pid(), "SIGKILL");
    await this.#boot;
  }

  /** An orderly reboot; returns when the host is up again. */
  async reboot(): Promise<void> {
    const before = this.pid();
    await this.exec(["systemctl", "reboot"], { check: false });
    await eventually(`${this.name} went down`, () => this.pid() !== before && this.alive());
    await this.waitUp();
  }

  /** The whole host stalls, as a paused virtual machine does. */
  freeze(): void {
    this.#freezer("FROZEN", "1");
  }

  thaw(): void {
    this.#freezer("THAWED", "0");
  }

  async destroy(): Promise<void> {
    if (this.alive()) await this.powerOff();
    await run(["umount", "-l", this.root], { check: false });
    await run(["ip", "netns", "del", this.#namespace], { check: false });
    for (const directory of this.#cgroupDirectories()) removeCgroup(directory);
  }

  /** Control groups are the whole machine's: labs side by side must not share names. */
  get #cgroup(): string {
    return `lab-${this.#lab.id}-${this.name}`;
  }

  get #namespace(): string {
    return `lab-${this.name}`;
  }

  #cgroupDirectories(): string[] {
    if (!legacyCgroups()) return [`/sys/fs/cgroup/${this.#cgroup}`];
    return [...legacyControllers, "unified"].map(
      (controller) => `/sys/fs/cgroup/${controller}/${this.#cgroup}`,
    );
  }

  #freezer(legacy: string, unified: string): void {
    if (legacyCgroups())
      writeFileSync(`/sys/fs/cgroup/freezer/${this.#cgroup}/freezer.state`, legacy);
    else writeFileSync(`/sys/fs/cgroup/${this.#cgroup}/cgroup.freeze`, unified);
  }
}

function removeCgroup(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(directory, entry.name));
  }
  try {
    rmdirSync(directory);
  } catch (thrown) {
    // An empty control group cannot always be removed at once; the directory is all that stays.
    console.error(`lab: ${directory} stays: ${String(thrown)}`);
  }
}

/** A switch and its hosts. */
export class Lab {
  readonly directory: string;
  /** Tells this lab from others that run at the same time. */
  readonly id: string;
  readonly subnet = "10.77.0";
  readonly switchNamespace = "lab-switch";
  readonly #image: string;
  readonly #hosts: LabHost[] = [];

  private constructor(directory: string, image: string) {
    this.directory = directory;
    this.id = directory.replace(/^.*pgherd-lab-/, "").replaceAll(/[^A-Za-z0-9]/g, "-");
    this.#image = image;
  }

  /** Sets the switch up in `directory`, which must be on a real file system. */
  static async up(directory: string, image: string): Promise<Lab> {
    const lab = new Lab(directory, image);
    mkdirSync(directory, { recursive: true });
    const sw = lab.switchNamespace;
    // A network namespace of its own: firewall rules of the machine cannot touch the bridge.
    await run(["ip", "netns", "add", sw]);
    await run(["ip", "-n", sw, "link", "set", "lo", "up"]);
    await run(["ip", "-n", sw, "link", "add", "br0", "type", "bridge"]);
    await run(["ip", "-n", sw, "link", "set", "br0", "up"]);
    await run([
      "ip",
      "link",
      "add",
      "lab-root",
      "type",
      "veth",
      "peer",
      "name",
      "root",
      "netns",
      sw,
    ]);
    await run(["ip", "-n", sw, "link", "set", "root", "master", "br0", "up"]);
    await run(["ip", "addr", "add", `${lab.subnet}.1/24`, "dev", "lab-root"]);
    await run(["ip", "link", "set", "lab-root", "up"]);
    await run(["ip", "netns", "exec", sw, "nft", "-f", "-"], {
      stdin: `table bridge lab {
        set cut { type ipv4_addr . ipv4_addr; }
        chain forward { type filter hook forward priority 0; policy accept;
          ip saddr . ip daddr @cut drop
          arp saddr ip . arp daddr ip @cut drop
        }
      }\n`,
    });
    return lab;
  }

  async host(name: string): Promise<LabHost> {
    const host = new LabHost(this, name, 11 + this.#hosts.length);
    this.#hosts.push(host);
    await host.create(this.#image);
    return host;
  }

  /** Drops what `from` sends to `to`; the other direction stays. */
  async cutOneWay(from: LabHost, to: LabHost): Promise<void> {
    await run([
      "ip",
      "netns",
      "exec",
      this.switchNamespace,
      "nft",
      "add",
      "element",
      "bridge",
      "lab",
      "cut",
      `{ ${from.address} . ${to.address} }`,
    ]);
  }

  async cut(a: LabHost, b: LabHost): Promise<void> {
    await this.cutOneWay(a, b);
    await this.cutOneWay(b, a);
  }

  async heal(): Promise<void> {
    await run([
      "ip",
      "netns",
      "exec",
      this.switchNamespace,
      "nft",
      "flush",
      "set",
      "bridge",
      "lab",
      "cut",
    ]);
  }

  /** Removes everything that the lab made. */
  async down(): Promise<void> {
    for (const host of this.#hosts) await host.destroy();
    await run(["ip", "link", "del", "lab-root"], { check: false });
    await run(["ip", "netns", "del", this.switchNamespace], { check: false });
    rmSync(this.directory, { recursive: true, force: true });
  }
}
