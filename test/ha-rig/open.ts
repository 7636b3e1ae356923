// Makes a system under test by its name, and runs scripts in the box where labs live.
import { setPriority } from "node:os";
import { join } from "node:path";
import type { System, Timings } from "./system.ts";
import { Patroni } from "./systems/patroni/patroni.ts";
import { Pgherd } from "./systems/pgherd.ts";

export const SYSTEMS = ["pgherd", "patroni"] as const;
export type SystemName = (typeof SYSTEMS)[number];

const here = import.meta.dir;
const hostNames = ["h1", "h2", "h3"];
/** Of each host, beside what else this machine does. */
const usualWeight = 8;
/** Of a second, of each host: three have most of what the machine has. */
const usualRealtimeMs = 300;
/** Nice value of the process that measures. */
const urgent = -10;
/** Large enough for every run, small enough to be filled in a moment. */
const disks = { postgresql: "1200m" };

export interface OpenOptions {
  /** Gives every host a disk of its own for PostgreSQL, in memory, which can be filled. */
  readonly smallDisks?: boolean;
  /** Of each host; null for what keeps all processors busy (HostOptions). */
  readonly cpuWeight?: number | null;
  /** Of a second, of each host, for programs at real-time priority; all labs of the machine share 950. */
  readonly realtimeMs?: number;
}

/** Three hosts that are not booted yet. Only inside the box. */
export function open(
  name: SystemName,
  directory: string,
  { smallDisks = false, cpuWeight = usualWeight, realtimeMs = usualRealtimeMs }: OpenOptions = {},
): Promise<System> {
  const image = environment("PGHERD_LAB_IMAGE");
  // Timings count here: what else the machine does must not come first.
  setPriority(0, urgent);
  const options = { cpuWeight, realtimeMs, ...(smallDisks ? { disks } : {}) };
  switch (name) {
    case "pgherd":
      return Pgherd.create(directory, image, hostNames, options);
    case "patroni":
      return Patroni.create(
        directory,
        `${environment("PGHERD_RIG_LAYER")}:${image}`,
        hostNames,
        options,
      );
  }
}

/** How long a system with these timings may take to notice a lost host. */
export function detectionMs(name: SystemName, timings: Timings): number {
  return name === "pgherd" ? Pgherd.detectionMs(timings) : Patroni.detectionMs(timings);
}

/** Where a lab may put its files. Only inside the box. */
export function labDirectory(): string {
  return environment("PGHERD_LAB_DIRECTORY");
}

/** Runs a script in a box and answers its exit code; builds the image, and Patroni's layer when it is asked for. */
export async function runInBox(
  script: string,
  args: readonly string[],
  needs: readonly SystemName[],
): Promise<number> {
  const layer = needs.includes("patroni") ? await patroniLayer() : "";
  const child = Bun.spawn([join(here, "../lab/run.sh"), "--script", script, ...args], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env: { ...process.env, PGHERD_RIG_LAYER: layer },
  });
  return child.exited;
}

async function patroniLayer(): Promise<string> {
  const image = await output([join(here, "../lab/image.sh")]);
  return output([join(here, "systems/patroni/layer.sh"), image]);
}

async function output(argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")} failed`);
  return text.trim();
}

function environment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: labs are run by test/lab/run.sh`);
  return value;
}
