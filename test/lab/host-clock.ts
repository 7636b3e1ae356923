// A wall clock of one host's own. The kernel has one for all of them, so the C library is asked to lie: every
// service of the host, and every command that is run there, gets its time from a file. Monotonic clocks stay true.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const file = "/var/lib/lab-clock";

export class HostClock {
  /** What a process of the host needs to see this clock. */
  readonly environment: Readonly<Record<string, string>> = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Before the first boot. The service manager itself keeps the machine's time. */
  install(): void {
    const directory = join(this.#root, "etc/systemd/system.conf.d");
    mkdirSync(directory, { recursive: true });
    const environment = Object.entries(this.environment)
      .map(([key, value]) => `${key}=${value}`)
      .join(" ");
    writeFileSync(join(directory, "clock.conf"), `[Manager]\nDefaultEnvironment=${environment}\n`);
    this.shift(0);
  }

  shift(seconds: number): void {
    const path = join(this.#root, file);
    const sign = seconds < 0 ? "-" : "+";
    // Read by many processes at any moment: never half written.
    writeFileSync(`${path}.new`, `${sign}${Math.abs(seconds)}\n`);
    renameSync(`${path}.new`, path);
  }
}
