// A real driver over an in-memory world: directories and keepers are entries of maps. Passes the
// same contract suite as the others. What a keeper does is played elsewhere, by whoever reads `world`.
import { AppError } from "../../base/errors.ts";
import { type Resource, resourceKey } from "../../plan/resource.ts";
import type { InstanceLayout, KeeperFile } from "../../spec/instance-config.ts";
import type {
  Driver,
  DriverCapabilities,
  HostFacts,
  InstancePlacement,
  ObservedKeeper,
  StepContext,
} from "../driver.ts";

/** One keeper of the in-memory world. */
export interface FakeKeeper {
  readonly hostId: string;
  readonly file: KeeperFile;
  state: ObservedKeeper["keeper"];
}

/** What exists on all hosts together; tests read and change it freely. */
export class FakeWorld {
  /** `<host id>:<path>` of every directory. */
  readonly directories = new Set<string>();
  /** By instance id. */
  readonly keepers = new Map<string, FakeKeeper>();
  /** Called before each effect with the verb and the resource key; throw to make it fail. */
  beforeEffect: (verb: "ensure" | "remove", key: string) => void | Promise<void> = () => undefined;
  /** Effects in the order they happened, e.g. "ensure instance.keeper::shop-n1-0f3k2m1q". */
  readonly effects: string[] = [];
}

/** A driver whose hosts are entries of `world`. */
export class FakeDriver implements Driver {
  readonly id = "fake";
  readonly capabilities: DriverCapabilities = {
    limits: true,
    survivesServerDown: true,
    services: false,
  };
  readonly world: FakeWorld;

  constructor(world: FakeWorld = new FakeWorld()) {
    this.world = world;
  }

  layout(placement: InstancePlacement, host: HostFacts): InstanceLayout {
    const base = `${host.instanceDir}/${placement.postgresMajor}/${placement.instanceId}`;
    return {
      base_dir: base,
      data_dir: `${base}/data`,
      config_dir: `${base}/configs`,
      certificate_dir: `${base}/certificates/postgres`,
      run_dir: `${host.runDir}/${placement.instanceId}`,
      log_dir: `${base}/log`,
      keeper_file: `${host.dataDir}/keepers/${placement.instanceId}/keeper.json`,
      fencer_socket: `${host.runDir}/${placement.instanceId}.fencer`,
    };
  }

  resources(placement: InstancePlacement, host: HostFacts): readonly Resource[] {
    const { instanceId, hostId, nodeName } = placement;
    const shared = { hostId, instanceId, nodeName, id: instanceId };
    const layout = this.layout(placement, host);
    const directory: Resource = {
      ...shared,
      kind: "filesystem.dir",
      inputs: { directories: [layout.base_dir, layout.data_dir, layout.certificate_dir] },
      dependsOn: [],
    };
    const keeper: Resource = {
      ...shared,
      kind: "instance.keeper",
      inputs: { cpus: placement.cpus ?? null, memory_bytes: placement.memoryBytes ?? null },
      dependsOn: [resourceKey(directory)],
    };
    return [directory, keeper];
  }

  async ensure(resource: Resource, context: StepContext, file?: KeeperFile): Promise<void> {
    await this.#begin("ensure", resource, context);
    switch (resource.kind) {
      case "filesystem.dir":
        for (const path of directoriesOf(resource)) {
          this.world.directories.add(`${resource.hostId}:${path}`);
        }
        return;
      case "instance.keeper": {
        if (!file) throw new AppError("bug", "a keeper needs its keeper file");
        const known = this.world.keepers.get(file.instance_id);
        if (known) known.state = "running";
        else {
          this.world.keepers.set(file.instance_id, {
            hostId: resource.hostId,
            file,
            state: "running",
          });
        }
        return;
      }
      default:
        throw new AppError("bug", `the driver does not make ${resource.kind}`);
    }
  }

  async remove(resource: Resource, context: StepContext): Promise<void> {
    await this.#begin("remove", resource, context);
    switch (resource.kind) {
      case "filesystem.dir":
        for (const path of directoriesOf(resource)) {
          this.world.directories.delete(`${resource.hostId}:${path}`);
        }
        return;
      case "instance.keeper":
        this.world.keepers.delete(resource.id);
        return;
      default:
        throw new AppError("bug", `the driver does not remove ${resource.kind}`);
    }
  }

  async observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]> {
    context.signal.throwIfAborted();
    return [...this.world.keepers.values()]
      .filter((keeper) => keeper.hostId === context.host.hostId)
      .map(({ file, state }) => ({ instanceId: file.instance_id, keeper: state, fencer: state }));
  }

  async supervise(): Promise<void> {}

  async #begin(verb: "ensure" | "remove", resource: Resource, context: StepContext) {
    context.signal.throwIfAborted();
    await this.world.beforeEffect(verb, resourceKey(resource));
    this.world.effects.push(`${verb} ${resourceKey(resource)}`);
  }
}

function directoriesOf(resource: Resource): readonly string[] {
  const listed = resource.inputs.directories;
  return Array.isArray(listed) ? listed.filter((path) => typeof path === "string") : [];
}
