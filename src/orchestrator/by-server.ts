// Work on a host that runs a server of its own is done by that server: it supervises the processes, and must know
// of them. Only hosts that are reached in another way are worked on from here.
import { AppError } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import { commandKillGraceMs, peerRequestTimeoutMs, stepTimeoutMs } from "../base/limits.ts";
import { PeerExecutor } from "../host/peer.ts";
import { peerPaths } from "../host/peer-messages.ts";
import type { HostFacts, InstancePlacement } from "../plan/placement.ts";
import type { Resource } from "../plan/resource.ts";
import type { InstanceLayout, KeeperFile } from "../spec/instance-config.ts";
import type { Driver, DriverCapabilities, ObservedKeeper, StepContext } from "./driver.ts";
import { type DriverRequest, driverPaths } from "./driver-messages.ts";

/** The driver of one host without a server. */
export type DistantDriver = (host: HostFacts) => Driver | undefined;

/** A driver for the hosts of a whole cluster; `own` is what it is on this one. */
export class ByServerDriver implements Driver {
  readonly id: string;
  readonly capabilities: DriverCapabilities;
  readonly #own: Driver;
  readonly #ids: Ids;
  readonly #hostId: string;
  readonly #distant: DistantDriver;

  /** `hostId`: this host. */
  constructor(own: Driver, ids: Ids, hostId: string, distant: DistantDriver) {
    this.id = own.id;
    this.capabilities = own.capabilities;
    this.#own = own;
    this.#ids = ids;
    this.#hostId = hostId;
    this.#distant = distant;
  }

  layout(placement: InstancePlacement, host: HostFacts): InstanceLayout {
    return this.#own.layout(placement, host);
  }

  resources(placement: InstancePlacement, host: HostFacts): readonly Resource[] {
    return this.#own.resources(placement, host);
  }

  async ensure(resource: Resource, context: StepContext, file?: KeeperFile): Promise<void> {
    const { executor } = context;
    if (!(executor instanceof PeerExecutor))
      return this.#here(context).ensure(resource, context, file);
    await this.#ask(executor, context, { verb: "ensure", resource, ...(file ? { file } : {}) });
  }

  async remove(resource: Resource, context: StepContext): Promise<void> {
    const { executor } = context;
    if (!(executor instanceof PeerExecutor)) return this.#here(context).remove(resource, context);
    await this.#ask(executor, context, { verb: "remove", resource });
  }

  async observe(context: Omit<StepContext, "log">): Promise<readonly ObservedKeeper[]> {
    const { executor, signal } = context;
    if (!(executor instanceof PeerExecutor)) return this.#here(context).observe(context);
    const request = { method: "GET", path: driverPaths.keepers } as const;
    const { body } = await executor.ask(request, signal, peerRequestTimeoutMs);
    const seen: readonly ObservedKeeper[] = JSON.parse(new TextDecoder().decode(body));
    return seen;
  }

  /** Of this host only: every server looks after its own. */
  supervise(context: StepContext, wanted: () => readonly string[]): Promise<void> {
    return this.#own.supervise(context, wanted);
  }

  /** What acts through the executor itself. */
  #here({ executor, host }: Omit<StepContext, "log">): Driver {
    if (executor.hostId === this.#hostId) return this.#own;
    const driver = this.#distant(host);
    if (driver) return driver;
    throw new AppError("terminal", `host ${host.hostId} runs its keepers in a way unknown here`);
  }

  async #ask(
    executor: PeerExecutor,
    { signal, log }: StepContext,
    work: Omit<DriverRequest, "id" | "driver">,
  ): Promise<void> {
    signal.throwIfAborted();
    const request: DriverRequest = { id: this.#ids.uuid(), driver: this.id, ...work };
    const events = executor.stream(driverPaths.work, request, {
      limitMs: stepTimeoutMs + commandKillGraceMs,
      signal,
      cancelPath: `${peerPaths.run}/${request.id}`,
    });
    for await (const event of events) {
      if (event.event === "log") log(event.message, event.fields);
      if (event.event === "done") return;
    }
    throw executor.lost("it ended the connection before the work was done");
  }
}
