// The only list of drivers. Which one a host has is found out at the start of its server and written
// into its record; every other server builds the same one by that name.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { Executor } from "../host/executor.ts";
import {
  BaremetalDriver,
  DetachedRunner,
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

function createDriver(name: "systemd" | "detached", deps: RegistryDeps, limits: boolean): Driver {
  const { clock, rng, launcher, executor } = deps;
  const runner =
    name === "systemd"
      ? new UnitsRunner({ clock, launcher, limits })
      : new DetachedRunner({ clock, rng, launcher, hostId: executor.hostId });
  return new BaremetalDriver({ launcher, runner });
}
