// What the tasks of hosts without a server need done on such a host; the composition root does it.
import type { PlannedHost } from "../spec/add-host.ts";
import type { ComponentStatus, HostRecord } from "../spec/host.ts";
import type { LogFields } from "./log.ts";

export interface WorkSite {
  readonly signal: AbortSignal;
  readonly log: (message: string, fields?: LogFields) => void;
}

/** `managed`: to be written into the list of hosts. `member`: its own server has done that. */
export type HostMade =
  | {
      readonly kind: "managed";
      readonly record: HostRecord;
      readonly components: Readonly<Record<string, ComponentStatus>>;
    }
  | { readonly kind: "member" };

/** All methods throw an AppError and may be called again after that. */
export interface HostWork {
  /** Makes the machine a host, or a member with a server of its own. */
  make(planned: PlannedHost, site: WorkSite): Promise<HostMade>;
  /** Takes back what an attempt to make it a host left there. */
  unmake(planned: PlannedHost, site: WorkSite): Promise<void>;
  /** Leaves nothing on a host that leaves. */
  clean(host: HostRecord, site: WorkSite): Promise<void>;
}
