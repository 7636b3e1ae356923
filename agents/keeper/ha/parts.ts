// What the pieces of a group's member see of each other.
import type { BootClock } from "../../../src/base/boot-clock.ts";
import type { HaSettings } from "../../../src/ha/settings.ts";
import type { InstanceHa } from "../../../src/spec/instance-config.ts";
import type { LeaseStore } from "../../../src/store/ha-lease.ts";
import type { ActDeps } from "../act.ts";
import type { Memory } from "../memory.ts";
import type { StandbyMechanics } from "../standby/mechanics.ts";
import type { HaFile } from "./ha-file.ts";
import type { LeaseWatch, Released } from "./lease-watch.ts";
import type { LongWork } from "./long-work.ts";
import type { Peers } from "./peers.ts";
import type { Renewer } from "./renewer.ts";
import type { Sensor } from "./sensor.ts";

export interface GroupDeps extends ActDeps {
  readonly boot: BootClock;
  readonly leases: LeaseStore;
  readonly nonce: () => string;
}

/** The member, as those see it who carry out its decisions. */
export interface GroupParts {
  readonly watch: LeaseWatch;
  readonly renewer: Renewer;
  readonly sensor: Sensor;
  readonly work: LongWork;
  readonly peers: Peers;
  readonly settings: HaSettings;
  /** The others should look at the lease now. */
  wakeOthers(signal: AbortSignal, released?: Released): Promise<void>;
}

export interface PerformerInput {
  readonly deps: GroupDeps;
  readonly memory: Memory;
  readonly group: GroupParts;
  readonly mechanics: StandbyMechanics;
  readonly file: HaFile;
  readonly ha: () => InstanceHa;
}
