// The resources of one instance: its directories and its keeper. Pure. The inputs hold everything that a
// removal needs, so that it finds what was made even after the host's settings changed.
import { AppError } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";
import type { HostFacts, InstancePlacement } from "../../plan/placement.ts";
import { type Resource, resourceKey } from "../../plan/resource.ts";
import { instanceLayout } from "./names.ts";

export interface DirectoryInputs extends JsonObject {
  readonly base_dir: string;
  readonly run_dir: string;
  /** Owner of all of them; null = the server's own user. */
  readonly owner: string | null;
  /** Every directory below and including base_dir, parents first. */
  readonly directories: readonly string[];
}

export interface KeeperInputs extends JsonObject {
  readonly keeper_file: string;
  readonly fencer_socket: string;
  readonly base_dir: string;
  readonly log_dir: string;
  readonly cpus: number | null;
  readonly memory_bytes: number | null;
}

/** filesystem.dir and instance.keeper, in this order. */
export function instanceResources(
  placement: InstancePlacement,
  host: HostFacts,
): readonly Resource[] {
  const { instanceId, hostId, nodeName } = placement;
  const layout = instanceLayout(placement, host);
  const directories: DirectoryInputs = {
    base_dir: layout.base_dir,
    run_dir: layout.run_dir,
    owner: host.postgresUser,
    directories: [
      layout.base_dir,
      layout.data_dir,
      layout.config_dir,
      `${layout.base_dir}/certificates`,
      layout.certificate_dir,
      layout.log_dir,
    ],
  };
  const keeper: KeeperInputs = {
    keeper_file: layout.keeper_file,
    fencer_socket: layout.fencer_socket,
    base_dir: layout.base_dir,
    log_dir: layout.log_dir,
    cpus: placement.cpus ?? null,
    memory_bytes: placement.memoryBytes ?? null,
  };
  const shared = { id: instanceId, hostId, instanceId, nodeName };
  const directory: Resource = {
    ...shared,
    kind: "filesystem.dir",
    inputs: directories,
    dependsOn: [],
  };
  return [
    directory,
    {
      ...shared,
      kind: "instance.keeper",
      inputs: keeper,
      dependsOn: [resourceKey(directory)],
    },
  ];
}

/** Inputs of a filesystem.dir that this driver made; anything else is a bug. */
export function directoryInputs({ inputs }: Resource): DirectoryInputs {
  return {
    base_dir: text(inputs, "base_dir"),
    run_dir: text(inputs, "run_dir"),
    owner: typeof inputs.owner === "string" ? inputs.owner : null,
    directories: Array.isArray(inputs.directories)
      ? inputs.directories.filter((path) => typeof path === "string")
      : [],
  };
}

/** Inputs of an instance.keeper that this driver made; anything else is a bug. */
export function keeperInputs({ inputs }: Resource): KeeperInputs {
  return {
    keeper_file: text(inputs, "keeper_file"),
    fencer_socket: text(inputs, "fencer_socket"),
    base_dir: text(inputs, "base_dir"),
    log_dir: text(inputs, "log_dir"),
    cpus: typeof inputs.cpus === "number" ? inputs.cpus : null,
    memory_bytes: typeof inputs.memory_bytes === "number" ? inputs.memory_bytes : null,
  };
}

function text(inputs: JsonObject, name: string): string {
  const value = inputs[name];
  if (typeof value === "string" && value !== "") return value;
  throw new AppError("bug", `the resource has no ${name}`);
}
