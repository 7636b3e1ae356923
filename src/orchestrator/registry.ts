// The only list of drivers. Which one a host has is found out at the start of its server and written
// into its record; every other server builds the same one by that name.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { Executor } from "../host/executor.ts";
import {
  BaremetalDriver,
  DetachedRunner,
  DistantRunner,
  distantBinary,
  serviceManagerOf,
  UnitsRunner,
} from "./baremetal/index.ts";
import type { Driver } from "./driver.ts";

/** What the configuration may ask for: `baremetal` takes what the host offers. */
export const DRIVER_CHOICES = ["baremetal", "systemd", "detached"] as const;
export type DriverChoice = (typeof DRIVER_CHOICES)[number];

export interface RegistryDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  /** The program that is keeper and fencer: the server's own binary, or the runtime and its sources. */
  readonly launcher: readonly [string, ...string[]];
  /** Reaches the host the driver is for. */
  readonly executor: Executor;
}

/** The driver of the executor's host. Throws a terminal AppError when the host does not offer what was asked for. */
export async function openDriver(
  choice: DriverChoice,
  deps: RegistryDeps,
  signal: AbortSignal,
): Promise<Driver> {
  const manager = await serviceManagerOf(deps.executor, signal);
  if (choice === "systemd" && manager.kind !== "systemd") {
    throw new AppError("terminal", "systemd was asked for, but did not boot this host");
  }
  const units = manager.kind === "systemd" && choice !== "detached";
  return createDriver(units ? "systemd" : "detached", deps, manager.limits);
}

/** The driver of a host by the `orchestrator` of its record; undefined for one that this build does not have. */
export function driverByName(
  name: string,
  deps: RegistryDeps,
  limits: boolean,
): Driver | undefined {
  return name === "systemd" || name === "detached" ? createDriver(name, deps, limits) : undefined;
}

/**
 * The driver of a host without a server, by the `orchestrator` of its record. It does everything through the
 * executor, with the program that was put on the host.
 */
export function distantDriver(name: string, dataDir: string, clock: Clock): Driver | undefined {
  const launcher = [distantBinary(dataDir)] as const;
  if (name === "systemd") {
    return new BaremetalDriver({
      launcher,
      runner: new UnitsRunner({ clock, launcher, limits: true }),
    });
  }
  return name === "detached"
    ? new BaremetalDriver({ launcher, runner: new DistantRunner(launcher) })
    : undefined;
}

/** How keepers will run on a host without a server: the `orchestrator` of its record. */
export async function distantOrchestrator(
  executor: Executor,
  units: boolean,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly limits: boolean; readonly survives: boolean }> {
  const { kind, limits } = await serviceManagerOf(executor, signal);
  return kind === "systemd" && units
    ? { name: "systemd", limits, survives: true }
    : { name: "detached", limits: false, survives: false };
}

function createDriver(name: "systemd" | "detached", deps: RegistryDeps, limits: boolean): Driver {
  const { clock, rng, launcher, executor } = deps;
  const runner =
    name === "systemd"
      ? new UnitsRunner({ clock, launcher, limits })
      : new DetachedRunner({ clock, rng, launcher, hostId: executor.hostId });
  return new BaremetalDriver({ launcher, runner });
}

export { removeServer, type ServerSite, serverPaths, startServer } from "./baremetal/index.ts";
