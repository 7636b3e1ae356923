// The part of systemctl that the driver uses, over the unit files of a fake host. A started unit is a
// number that changes with every start; the model does not know what the units do.
import type { FakeHost, ScriptedOutcome } from "../../src/host/fake.ts";

interface Unit {
  text: string;
  enabled: boolean;
  /** 0 = not running. */
  run: number;
}

const directory = "/etc/systemd/system";

export class FakeSystemctl {
  /** Known units by name, as of the last daemon-reload. */
  readonly units = new Map<string, Unit>();
  readonly calls: string[] = [];
  readonly #host: FakeHost;
  #runs = 0;

  constructor(host: FakeHost) {
    this.#host = host;
    host.program("systemctl", async ({ argv }) => {
      const args = argv
        .slice(1)
        .filter((arg) => !["--no-ask-password", "--quiet", "--"].includes(arg));
      this.calls.push(args.join(" "));
      return this.#play(args[0] ?? "", args.slice(1));
    });
  }

  /** The run of a unit: another number is another process; undefined = it does not run. */
  runOf(name: string): number | undefined {
    return this.units.get(name)?.run || undefined;
  }

  /** The main process dies: systemd starts it again. */
  crash(name: string): void {
    const unit = this.units.get(name);
    if (unit?.run) unit.run = ++this.#runs;
  }

  async #play(verb: string, args: readonly string[]): Promise<ScriptedOutcome> {
    const names = args.filter((arg) => arg.endsWith(".service"));
    if (verb === "daemon-reload") return this.#reload();
    if (verb === "show") return { stdout: names.map((name) => this.#show(name, args)).join("\n") };
    for (const name of names) {
      const unit = this.units.get(name);
      if (!unit)
        return { exitCode: verb === "reset-failed" ? 1 : 5, stderr: `Unit ${name} not found.` };
      if (verb === "enable" || verb === "disable") unit.enabled = verb === "enable";
      if (verb === "start" && unit.run === 0) unit.run = ++this.#runs;
      if (verb === "restart" || verb === "kill") unit.run = ++this.#runs;
      if (verb === "disable" && args.includes("--now")) unit.run = 0;
    }
    return {};
  }

  async #reload(): Promise<ScriptedOutcome> {
    for (const name of await this.#host.list(directory)) {
      const text = new TextDecoder().decode(await this.#host.get(`${directory}/${name}`));
      const unit = this.units.get(name);
      if (unit) unit.text = text;
      else this.units.set(name, { text, enabled: false, run: 0 });
    }
    for (const [name, unit] of this.units) {
      if (unit.run === 0 && !(await this.#host.stat(`${directory}/${name}`)))
        this.units.delete(name);
    }
    return {};
  }

  #show(name: string, args: readonly string[]): string {
    const unit = this.units.get(name);
    const all = {
      Id: name,
      LoadState: unit ? "loaded" : "not-found",
      ActiveState: unit?.run ? "active" : "inactive",
    };
    const wanted =
      args
        .find((arg) => arg.startsWith("--property="))
        ?.slice(11)
        .split(",") ?? [];
    return Object.entries(all)
      .filter(([key]) => wanted.includes(key))
      .map(([key, value]) => `${key}=${value}\n`)
      .join("");
  }
}
