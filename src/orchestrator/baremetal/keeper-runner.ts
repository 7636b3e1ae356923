// How the two processes of an instance are run on a host: as units of a service manager, or detached.
// The driver chooses one per host and shares everything else.
import type { KeeperFile } from "../../spec/instance-config.ts";
import type { DriverCapabilities, ObservedKeeper, StepContext } from "../driver.ts";
import type { KeeperInputs } from "./resources.ts";

/** An instance's processes as they should be. */
export interface WantedKeeper {
  readonly instanceId: string;
  readonly inputs: KeeperInputs;
}

export interface KeeperRunner {
  readonly id: string;
  readonly capabilities: DriverCapabilities;
  /** The keeper file is in place; `changed` when it is not as it was. Idempotent. */
  ensure(wanted: WantedKeeper, changed: boolean, context: StepContext): Promise<void>;
  /** Ends the keeper first, so that nothing starts postgres again; leaves the fencer. */
  stopKeeper(wanted: WantedKeeper, context: StepContext): Promise<void>;
  /** Ends the fencer and forgets both processes. Postgres is gone by then. */
  removeAll(wanted: WantedKeeper, context: StepContext): Promise<void>;
  observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]>;
  supervise(context: StepContext, wanted: () => readonly string[]): Promise<void>;
}

/** The keeper file as it is written. */
export function renderKeeperFile(file: KeeperFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}
