// What resources are made from: the input of desired.ts, and one instance half way.
import type { DatabaseSpec } from "../spec/database-spec.ts";
import type { HostRecord } from "../spec/host.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { GroupInputs, RolesInputs } from "./inputs.ts";
import type { InstancePlacement, Placer } from "./placement.ts";
import type { StoredResource } from "./resource.ts";

/** A port that was given to an instance; fixed ports may be listed too. */
export interface PortAllocation {
  readonly instanceId: string;
  readonly port: number;
  readonly purpose: "postgres" | "rest";
}

/** Everything that decides what a database consists of. */
export interface DesiredInput {
  readonly databaseId: string;
  readonly tenantId?: string;
  /** With defaults applied, and verifiers in the place of passwords. */
  readonly spec: DatabaseSpec;
  /** resolveNodes(spec) */
  readonly nodes: readonly ResolvedNode[];
  /** All hosts of the spec, known and validated. */
  readonly hosts: readonly HostRecord[];
  readonly ports: readonly PortAllocation[];
  readonly placerOf: (host: HostRecord) => Placer;
  /** Scripts run only until the database was available for the first time. */
  readonly wasAvailable: boolean;
  /** What the last plan left; some things, once chosen, stay. */
  readonly stored: readonly StoredResource[];
  /** Nodes whose primary holds a lease, or held one: they had several instances at some time. */
  readonly leased: ReadonlySet<string>;
}

/** What all instances share, looked up once. */
export interface Shared {
  /** By `<instance id>/<purpose>`. */
  readonly ports: ReadonlyMap<string, number>;
  /** database.instance resources of the last plan, by instance id. */
  readonly storedInstances: ReadonlyMap<string, StoredResource>;
  /** Where the hosts of the database reach each other from. */
  readonly systemAddresses: readonly string[];
  readonly roles: RolesInputs;
}

/** One instance on its way to become resources. */
export interface InstanceDraft {
  readonly input: DesiredInput;
  readonly shared: Shared;
  readonly node: ResolvedNode;
  readonly host: HostRecord;
  readonly id: string;
  /** What a node has once is attached to this instance: the one that makes the data of a new node. */
  readonly isHome: boolean;
  readonly placement: InstancePlacement;
  /** Absent where the node has one instance and never had more. */
  readonly group: GroupInputs | undefined;
  readonly bin: HostRecord["installations"][number];
}

/** The instances of one node before the group that they form is known. */
export type LoneDraft = Omit<InstanceDraft, "group" | "isHome">;
