// One simulated machine: its files, its boot, its power, its stalls, its disks, its clock.
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HostCgroups, legacyCgroups } from "./cgroups.ts";
import { type ExecOptions, eventually, type Output, run } from "./command.ts";
import { HostClock } from "./host-clock.ts";
import type { Switch } from "./switch.ts";

const here = import.meta.dir;
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The file systems of a host that keep their content: where the product and PostgreSQL write. */
const disks = { data: "/var/lib/pgherd", postgresql: "/var/lib/postgresql" } as const;
export type Disk = keyof typeof disks;

export interface HostOptions {
  /** Sizes of disks that can be filled up, for example `{ postgresql: "400m" }`; without one it is as large as the machine's. */
  readonly disks?: Readonly<Partial<Record<Disk, string>>>;
  /**
   * Share of the processors when they are scarce; for what measures times beside other work of the machine. null = the
   * host has no group for them: kernels with EEVDF let everything else wait for seconds, whatever its weight, while
   * programs of one group that wake each other keep all processors busy.
   */
  readonly cpuWeight?: number | null;
  /** Of a second, for real-time programs of the host where control groups ration them; without it they get none there. */
  readonly realtimeMs?: number;
  /** Give the host a wall clock of its own, which can be shifted. */
  readonly ownClock?: boolean;
}

/** What a host has to know of its lab. */
export interface HostPlace {
  readonly labId: string;
  readonly directory: string;
  readonly address: string;
  readonly switch: Switch;
}

/** One simulated machine with its own address, processes, mounts and host name. */
export class LabHost {
  readonly name: string;
  readonly address: string;
  readonly directory: string;
  readonly #options: HostOptions;
  readonly #switch: Switch;
  readonly #cgroups: HostCgroups;
  readonly #clock: HostClock;
  #boot: Promise<void> | undefined;

  constructor(name: string, place: HostPlace, options: HostOptions = {}) {
    this.name = name;
    this.address = place.address;
    this.directory = place.directory;
    this.#options = options;
    this.#switch = place.switch;
    this.#cgroups = new HostCgroups(`lab-${place.labId}-${name}`, {
      weight: options.cpuWeight === undefined ? 1 : options.cpuWeight,
      realtimeMs: options.realtimeMs ?? 0,
    });
    this.#clock = new HostClock(this.root);
  }

  /** The host's root as a path of the outside, for putting files before it boots. */
  get root(): string {
    return join(this.directory, "root");
  }

  async create(image: string): Promise<void> {
    const { directory, name, root } = this;
    for (const part of ["upper", "work", "root", ...Object.keys(disks)])
      mkdirSync(join(directory, part), { recursive: true });
    const layers = `lowerdir=${image},upperdir=${directory}/upper,workdir=${directory}/work`;
    await run(["mount", "-t", "overlay", `lab-${name}`, "-o", layers, root]);
    await run(["ip", "netns", "add", this.#namespace]);
    await run(["ip", "-n", this.#namespace, "link", "set", "lo", "up"]);
    await this.#switch.plug(this, this.#namespace);
    // Nothing listens there: look-ups fail at once instead of timing out.
    writeFileSync(join(root, "etc/resolv.conf"), "nameserver 127.0.0.1\n");
    writeFileSync(join(root, "etc/machine-id"), `${crypto.randomUUID().replaceAll("-", "")}\n`);
    writeFileSync(join(root, "etc/hostname"), `${name}\n`);
    writeFileSync(join(root, "etc/hosts"), `127.0.0.1 localhost\n${this.address} ${name}\n`);
    if (this.#options.ownClock) this.#clock.install();
    await this.#attachDisks();
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

  /** Runs a command inside the host, as root unless it changes user itself. */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<Output> {
    const environment = {
      PATH: hostPath,
      HOME: "/root",
      LANG: "C.UTF-8",
      ...(this.#options.ownClock ? this.#clock.environment : {}),
      ...options.env,
    };
    const env = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
    const namespaces = ["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"];
    return run(
      [
        ...["bash", "-c", `${this.#cgroups.joining()}; exec "$@"`, "exec"],
        ...["nsenter", "-t", String(this.pid()), ...namespaces, "--", "env", "-i", ...env],
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
    // A stalled process cannot die.
    this.thaw();
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
    this.#cgroups.freeze();
  }

  thaw(): void {
    this.#cgroups.thaw();
  }

  /** Percent of one processor that the whole host gets; undefined = all there is. */
  throttle(percent: number | undefined): void {
    this.#cgroups.throttle(percent);
  }

  /** Takes all the space that is left on a disk. Only for disks whose size was given. */
  fillDisk(disk: Disk): void {
    if (this.#options.disks?.[disk] === undefined)
      throw new Error(`${this.name}: no size was given for the disk ${disk}`);
    const { bavail, bsize } = statfsSync(join(this.directory, disk));
    writeFileSync(this.#filler(disk), new Uint8Array(bavail * bsize));
  }

  /** Gives back what `fillDisk` took. */
  freeDisk(disk: Disk): void {
    rmSync(this.#filler(disk), { force: true });
  }

  /**
   * Moves the wall clock of the host away from that of the others; 0 puts it right again. Only with `ownClock`.
   * Programs that do not use the C library keep the machine's time: of ours that is rqlited.
   */
  shiftClock(seconds: number): void {
    if (!this.#options.ownClock) throw new Error(`${this.name} has no clock of its own`);
    this.#clock.shift(seconds);
  }

  async destroy(): Promise<void> {
    if (this.alive()) await this.powerOff();
    await run(["umount", "-l", this.root], { check: false });
    for (const disk of Object.keys(this.#options.disks ?? {}))
      await run(["umount", "-l", join(this.directory, disk)], { check: false });
    await run(["ip", "netns", "del", this.#namespace], { check: false });
    this.#cgroups.remove();
  }

  get #namespace(): string {
    return `lab-${this.name}`;
  }

  #filler(disk: Disk): string {
    return join(this.directory, disk, ".lab-filler");
  }

  /** Mounted outside of the host's namespaces, so that they outlive its power. */
  async #attachDisks(): Promise<void> {
    const binds = Object.entries(disks).map(
      ([disk, path]) => `${join(this.directory, disk)} ${path}\n`,
    );
    writeFileSync(join(this.directory, "binds"), binds.join(""));
    for (const [disk, size] of Object.entries(this.#options.disks ?? {})) {
      const options = `size=${size},mode=755`;
      await run(["mount", "-t", "tmpfs", "-o", options, "lab-disk", join(this.directory, disk)]);
    }
  }

  async #bootLoop(): Promise<void> {
    this.#cgroups.create();
    const kind = legacyCgroups() ? "units-v1" : "units-v2";
    const entering = `${this.#cgroups.joining()}; exec setsid --wait nsenter --net=/run/netns/${this.#namespace} unshare --mount --uts --ipc --pid --cgroup --fork --propagation slave "$@"`;
    for (;;) {
      const child = Bun.spawn(
        ["bash", "-c", entering, "boot", `${here}/host-init.sh`, this.directory, this.name, kind],
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
}
