// The node of a system, run without it: the agents are stopped in an orderly way, and the very same servers, with the
// same data, files and arguments, are started by hand.
import { readFileSync } from "node:fs";
import { missingRedundancy } from "../../test/ha-rig/facts.ts";
import { find, signal } from "../../test/ha-rig/faults/processes.ts";
import type { System } from "../../test/ha-rig/system.ts";
import { isPrimary } from "../../test/ha-rig/workload/route.ts";
import { eventually, type LabHost } from "../../test/lab/lab.ts";

const boundMs = 120_000;
const setup = { mode: "async", timings: "usual", major: 17 } as const;

export class ByHand {
  readonly primary: LabHost;
  readonly #system: System;
  /** Standbys first, so that nobody can be promoted meanwhile. */
  readonly #order: readonly LabHost[];

  private constructor(system: System, primary: LabHost) {
    this.#system = system;
    this.primary = primary;
    this.#order = [...system.hosts.filter((host) => host !== primary), primary];
  }

  /** Stops the agents and starts every server by hand; returns when the standbys stream. */
  static async takeOver(system: System, primary: LabHost): Promise<ByHand> {
    const byHand = new ByHand(system, primary);
    const commands = new Map(
      system.hosts.map((host) => {
        const [postmaster] = find(system, host, "postmaster");
        const line = readFileSync(`/proc/${postmaster?.pid}/cmdline`, "utf8");
        return [host, line.split("\0").filter(Boolean)] as const;
      }),
    );
    for (const host of byHand.#order) await system.cleanStop(host);
    for (const host of byHand.#order.toReversed()) {
      const start = 'cd /; setsid "$@" >/tmp/by-hand.log 2>&1 </dev/null &';
      const argv = commands.get(host) ?? [];
      await host.exec(["runuser", "-u", "postgres", "--", "bash", "-c", start, "start", ...argv]);
    }
    await byHand.#streaming();
    return byHand;
  }

  /** Stops the servers and starts the agents again. */
  async giveBack(): Promise<void> {
    for (const host of this.#order) {
      signal(find(this.#system, host, "postmaster"), "SIGINT");
      await eventually(
        `${host.name} has stopped`,
        () => find(this.#system, host, "postmaster").length === 0,
        boundMs,
      );
    }
    await this.#system.startAgain(this.primary);
    const url = this.#system.primaryUrl(this.primary);
    await eventually("the primary is back", () => isPrimary(url), boundMs);
    for (const host of this.#order) await this.#system.startAgain(host);
    await this.#streaming();
  }

  #streaming(): Promise<void> {
    return eventually(
      "every standby streams",
      async () => (await missingRedundancy(this.#system, this.primary.name, setup)) === undefined,
      boundMs,
    );
  }
}
