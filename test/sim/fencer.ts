// The fencer of one instance, and behind it the host's watchdog: both know a deadline and nothing else.
import type { Host } from "./host.ts";
import type { Postgres } from "./postgres.ts";

export interface FencerOptions {
  readonly host: Host;
  readonly postgres: Postgres;
  /** Draws how long the kill ladder takes. */
  readonly killMs: () => number;
  /** Nothing is ever ended, in the build that shows why this exists. */
  readonly works: boolean;
}

export class Fencer {
  readonly #deps: FencerOptions;
  /** In a file: outlives the fencer and not the boot. */
  armed: { readonly epoch: number; readonly deadlineMs: number } | null = null;
  #boots = -1;

  constructor(deps: FencerOptions) {
    this.#deps = deps;
  }

  get answers(): boolean {
    const { host } = this.#deps;
    return host.up && !host.isStopped("fencer");
  }

  /** Whether the deadline was taken over. */
  arm(epoch: number, deadlineMs: number): boolean {
    const { host } = this.#deps;
    this.#forgetAfterBoot();
    if (!this.answers || (this.armed && this.armed.epoch > epoch)) return false;
    this.armed = { epoch, deadlineMs };
    const inMs = deadlineMs - host.bootMs() + 1;
    host.after("fencer", inMs, () => this.#check());
    this.#watchdog(inMs);
    return true;
  }

  /** As the keeper asks: at once, where it answers. */
  kill(why: string): void {
    if (this.answers) this.#deps.postgres.kill(why);
  }

  #check(): void {
    const { host, postgres, killMs, works } = this.#deps;
    this.#forgetAfterBoot();
    if (!works || !this.armed || host.bootMs() < this.armed.deadlineMs) return;
    if (!holdsPrimary(postgres)) return;
    host.after("fencer", killMs(), () => {
      if (holdsPrimary(postgres)) this.#killIfDue();
    });
  }

  #killIfDue(): void {
    const { host, postgres } = this.#deps;
    if (this.armed && host.bootMs() >= this.armed.deadlineMs) postgres.kill("the deadline passed");
  }

  /** The service manager notices that a stopped fencer gives no sign of life. */
  #watchdog(inMs: number): void {
    const { host, postgres, works } = this.#deps;
    const { boots } = host;
    const look = () => {
      if (!works || boots !== host.boots || !host.stopped.has("fencer")) return;
      if (this.armed && host.bootMs() >= this.armed.deadlineMs && holdsPrimary(postgres)) {
        postgres.kill("the watchdog ended it");
      }
    };
    host.watch(inMs + 300, look);
  }

  #forgetAfterBoot(): void {
    const { boots } = this.#deps.host;
    if (boots !== this.#boots) this.armed = null;
    this.#boots = boots;
  }
}

function holdsPrimary({ server, data }: Postgres): boolean {
  return server.kind !== "stopped" && data.role === "primary";
}
