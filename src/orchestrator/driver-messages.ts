// What a worker asks the driver of another host, which that host's own server has.
import type { Resource } from "../plan/resource.ts";
import type { KeeperFile } from "../spec/instance-config.ts";

/** Paths of the internal listener. */
export const driverPaths = {
  work: "/v1/internal/host/driver",
  keepers: "/v1/internal/host/keepers",
} as const;

export interface DriverRequest {
  /** Chosen by the caller, to cancel it by. */
  readonly id: string;
  /** The driver that the caller believes the host to have. */
  readonly driver: string;
  readonly verb: "ensure" | "remove";
  readonly resource: Resource;
  /** Of a keeper. */
  readonly file?: KeeperFile;
}
