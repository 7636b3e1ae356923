// A lab: simulated hosts on one machine, namespaces over one root file system, and a switch between them.
// Runs inside box.sh, so that nothing of it outlives the test. Every fault is one call, and `heal` mends the network.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type HostOptions, LabHost } from "./host.ts";
import { type Addressed, type Line, Switch } from "./switch.ts";

export { eventually } from "./command.ts";
export { LabHost } from "./host.ts";

export class Lab {
  readonly directory: string;
  /** Tells this lab from others that run at the same time. */
  readonly id: string;
  readonly subnet = "10.77.0";
  readonly hosts: LabHost[] = [];
  readonly #image: string;
  readonly #switch: Switch;

  private constructor(directory: string, image: string) {
    this.directory = directory;
    this.id = directory.replace(/^.*pgherd-lab-/, "").replaceAll(/[^A-Za-z0-9]/g, "-");
    this.#image = image;
    this.#switch = new Switch("lab-switch", this.subnet);
  }

  /** Sets the switch up in `directory`, which must be on a real file system. */
  static async up(directory: string, image: string): Promise<Lab> {
    const lab = new Lab(directory, image);
    mkdirSync(directory, { recursive: true });
    await lab.#switch.up();
    return lab;
  }

  /** A new host, plugged in and not yet booted. */
  async host(name: string, options: HostOptions = {}): Promise<LabHost> {
    const place = {
      labId: this.id,
      directory: join(this.directory, name),
      address: `${this.subnet}.${11 + this.hosts.length}`,
      switch: this.#switch,
    };
    const host = new LabHost(name, place, options);
    this.hosts.push(host);
    await host.create(this.#image);
    return host;
  }

  /** This machine, from which tests reach the hosts. */
  get outside(): Addressed {
    return { name: "outside", address: `${this.subnet}.1` };
  }

  /** Drops what `from` sends to `to`; the other direction stays. */
  cutOneWay(from: Addressed, to: Addressed): Promise<void> {
    return this.#switch.cutOneWay(from, to);
  }

  async cut(a: Addressed, b: Addressed): Promise<void> {
    await this.cutOneWay(a, b);
    await this.cutOneWay(b, a);
  }

  /** Cuts TCP of these ports between two hosts, whichever of them listens; the rest stays. */
  cutPorts(a: Addressed, b: Addressed, ports: readonly number[]): Promise<void> {
    return this.#switch.cutPorts(a, b, ports);
  }

  /** Cuts these hosts off from all others; among themselves, and from this machine, they are reached. */
  async partition(apart: readonly LabHost[]): Promise<void> {
    for (const other of this.hosts) {
      if (apart.includes(other)) continue;
      for (const host of apart) await this.cut(host, other);
    }
  }

  /** Pulls a host's cable: its line is dead and nobody reaches it, this machine included. */
  pull(host: LabHost): Promise<void> {
    return this.#switch.pull(host);
  }

  /** Makes the line between two hosts slow or lossy, in both directions. */
  async worsen(a: LabHost, b: LabHost, line: Line): Promise<void> {
    await this.#switch.worsen(a, b, line);
    await this.#switch.worsen(b, a, line);
  }

  /** Makes one direction of a line slow or lossy. */
  worsenOneWay(from: LabHost, to: LabHost, line: Line): Promise<void> {
    return this.#switch.worsen(from, to, line);
  }

  /** Bounds what reaches a host, for example `20mbit`. */
  narrow(host: LabHost, rate: string): Promise<void> {
    return this.#switch.narrow(host, rate);
  }

  /** Ends everything that was done to the network. */
  heal(): Promise<void> {
    return this.#switch.heal();
  }

  /** Removes everything that the lab made. */
  async down(): Promise<void> {
    for (const host of this.hosts) await host.destroy();
    await this.#switch.down();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
