// Control groups of one lab host, in the legacy hierarchies or the unified one, whichever this machine has.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";

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

/** The kernel's own choice. */
const quotaPeriodUs = 100_000;

/** Whether the control groups of this machine are the legacy hierarchies. */
export function legacyCgroups(): boolean {
  return existsSync("/sys/fs/cgroup/memory/tasks");
}

export interface ProcessorShare {
  /** When they are scarce, 1 = that of any other process; null = no group for them. */
  readonly weight: number | null;
  /** Of a second, for real-time programs. Only the legacy hierarchies ration it, and all labs share what there is. */
  readonly realtimeMs: number;
}

/** One group per hierarchy; everything that runs in the host is in them. */
export class HostCgroups {
  readonly #name: string;
  readonly #processors: ProcessorShare;

  /** Control groups are the whole machine's: labs side by side must not share names. */
  constructor(name: string, processors: ProcessorShare) {
    this.#name = name;
    this.#processors = processors;
  }

  create(): void {
    for (const directory of this.#directories()) mkdirSync(directory, { recursive: true });
    this.#weigh();
    if (!legacyCgroups()) return;
    // A process may enter a cpuset only when the set has processors and memory.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      writeFileSync(
        `/sys/fs/cgroup/cpuset/${this.#name}/${file}`,
        readFileSync(`/sys/fs/cgroup/cpuset/${file}`, "utf8"),
      );
    }
  }

  #weigh(): void {
    const { weight, realtimeMs } = this.#processors;
    if (weight === null) return;
    if (!legacyCgroups()) {
      const file = `/sys/fs/cgroup/${this.#name}/cpu.weight`;
      if (existsSync(file)) writeFileSync(file, String(100 * weight));
      return;
    }
    const group = `/sys/fs/cgroup/cpu/${this.#name}`;
    writeFileSync(`${group}/cpu.shares`, String(1_024 * weight));
    const ration = `${group}/cpu.rt_runtime_us`;
    // Not every kernel rations it.
    if (!existsSync(ration)) return;
    try {
      writeFileSync(ration, String(1_000 * realtimeMs));
    } catch (cause) {
      const text = `no ${realtimeMs} ms of a second are left for real-time programs: other labs have them`;
      throw new Error(text, { cause });
    }
  }

  /** A shell fragment that moves the shell into the groups. */
  joining(): string {
    return this.#directories()
      .map((directory) => `echo $$ > ${directory}/cgroup.procs`)
      .join("; ");
  }

  freeze(): void {
    this.#freezer("FROZEN", "1");
  }

  thaw(): void {
    this.#freezer("THAWED", "0");
  }

  /** Percent of one processor that everything in the host gets together; undefined = all there is. Needs a group. */
  throttle(percent: number | undefined): void {
    const quotaUs = percent === undefined ? undefined : (percent / 100) * quotaPeriodUs;
    if (legacyCgroups())
      writeFileSync(`/sys/fs/cgroup/cpu/${this.#name}/cpu.cfs_quota_us`, String(quotaUs ?? -1));
    else
      writeFileSync(`/sys/fs/cgroup/${this.#name}/cpu.max`, `${quotaUs ?? "max"} ${quotaPeriodUs}`);
  }

  remove(): void {
    for (const directory of this.#directories()) removeTree(directory);
  }

  #directories(): string[] {
    if (!legacyCgroups()) return [`/sys/fs/cgroup/${this.#name}`];
    return [...legacyControllers, "unified"]
      .filter((controller) => controller !== "cpu" || this.#processors.weight !== null)
      .map((controller) => `/sys/fs/cgroup/${controller}/${this.#name}`);
  }

  #freezer(legacy: string, unified: string): void {
    if (legacyCgroups())
      writeFileSync(`/sys/fs/cgroup/freezer/${this.#name}/freezer.state`, legacy);
    else writeFileSync(`/sys/fs/cgroup/${this.#name}/cgroup.freeze`, unified);
  }
}

/** Whether programs of lab hosts can have real-time priority: some kernels give it to no control group. */
export function realtimeInGroups(): boolean {
  const groups = new HostCgroups(`lab-probe-${process.pid}`, { weight: 1, realtimeMs: 1 });
  groups.create();
  try {
    const script = `${groups.joining()}; exec chrt --rr 1 true`;
    return Bun.spawnSync(["sh", "-c", script], { stderr: "ignore" }).exitCode === 0;
  } finally {
    groups.remove();
  }
}

function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(`${directory}/${entry.name}`);
  }
  try {
    rmdirSync(directory);
  } catch (thrown) {
    // An empty control group cannot always be removed at once; the directory is all that stays.
    console.error(`lab: ${directory} stays: ${String(thrown)}`);
  }
}
