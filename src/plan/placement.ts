// What a driver's pure part is asked when a plan is made, and what it answers. Drivers implement it; plans call it.
import type { HostRecord } from "../spec/host.ts";
import type { InstanceLayout } from "../spec/instance-config.ts";
import type { Resource } from "./resource.ts";

/** Identity and limits of one instance, as far as a driver needs them. */
export interface InstancePlacement {
  readonly instanceId: string;
  readonly databaseId: string;
  readonly nodeName: string;
  readonly hostId: string;
  readonly postgresMajor: number;
  /** CPUs, e.g. 0.5; absent = no limit. */
  readonly cpus?: number;
  /** Bytes; absent = no limit. */
  readonly memoryBytes?: number;
}

/** Facts of a host that the driver's pure part needs; from the host record. */
export interface HostFacts {
  readonly hostId: string;
  readonly dataDir: string;
  readonly runDir: string;
  /** Parent of instance directories. */
  readonly instanceDir: string;
  /** User that PostgreSQL runs as; null = the same user as the server. */
  readonly postgresUser: string | null;
}

/** The pure part of a driver: where an instance lives on its host and what has to be there to run it. */
export interface Placer {
  layout(placement: InstancePlacement, host: HostFacts): InstanceLayout;
  /** filesystem.dir and instance.keeper resources of one instance, in this order. */
  resources(placement: InstancePlacement, host: HostFacts): readonly Resource[];
}

/** The facts in a host's record. */
export function factsOf(
  record: Pick<HostRecord, "id" | "data_dir" | "run_dir" | "instance_dir" | "postgres_user">,
): HostFacts {
  return {
    hostId: record.id,
    dataDir: record.data_dir,
    runDir: record.run_dir,
    instanceDir: record.instance_dir,
    postgresUser: record.postgres_user,
  };
}
