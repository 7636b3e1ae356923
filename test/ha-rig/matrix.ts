// Runs the fault matrix, or random faults, in the lab's box and writes the report. A fault that leaves the node broken
// costs a new lab for those after it, never the whole run.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, parse } from "node:path";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import {
  type CatalogueEntry,
  catalogue,
  ENTRY_KINDS,
  type EntryKind,
  NOT_DONE,
} from "./faults/catalogue.ts";
import { type MatrixOptions, parseMatrixOptions } from "./matrix-options.ts";
import { labDirectory, open } from "./open.ts";
import { type ReportRow, renderReport } from "./report.ts";
import { Run } from "./runner.ts";
import { type Setup, type System, TIMINGS } from "./system.ts";
import { judge } from "./verdict.ts";

const faultsPerLabMax = 40;

class Matrix {
  readonly #options: MatrixOptions;
  readonly #rng: Rng;
  readonly #rows: ReportRow[] = [];
  readonly #findings: string[] = [];
  #version = "";
  #labs = 0;

  constructor(options: MatrixOptions) {
    this.#options = options;
    this.#rng = seededRng(options.seed);
  }

  async run(): Promise<boolean> {
    const { modes, majors, timings, random } = this.#options;
    for (const mode of modes) {
      for (const major of majors) {
        const setup = { mode, major, timings };
        const entries = random > 0 ? this.#draw(random, major) : this.#listed(major);
        for (const kind of ENTRY_KINDS) {
          await this.#all(
            setup,
            kind,
            entries.filter((entry) => entry.kind === kind),
          );
        }
      }
    }
    this.#write();
    return this.#findings.length === 0 && this.#rows.every(({ wrong }) => wrong.length === 0);
  }

  /** Faults of the matrix for one major: all of them on the first that was asked for, the core set on others. */
  #listed(major: number): CatalogueEntry[] {
    const { only, majors, detectionMs } = this.#options;
    const entries = catalogue(detectionMs);
    if (only.length > 0) {
      return entries.filter(({ id }) =>
        only.some((part) => id === part || id.startsWith(`${part}.`)),
      );
    }
    return entries.filter(({ core, slow }) => !slow && (core || major === majors[0]));
  }

  #draw(count: number, major: number): CatalogueEntry[] {
    const known = this.#listed(major).filter(({ kind }) => kind === "usual");
    return Array.from({ length: count }, () => known[this.#rng.int(0, known.length - 1)]).filter(
      (entry) => entry !== undefined,
    );
  }

  async #all(setup: Setup, kind: EntryKind, entries: readonly CatalogueEntry[]): Promise<void> {
    const left = [...entries];
    while (left.length > 0) {
      const done = await this.#lab(setup, kind, left.slice(0, faultsPerLabMax));
      left.splice(0, Math.max(1, done));
    }
  }

  /** As many of these faults as one lab survives; answers how many were done. */
  async #lab(setup: Setup, kind: EntryKind, entries: readonly CatalogueEntry[]): Promise<number> {
    const { system: name, realtimeMs } = this.#options;
    const directory = `${labDirectory()}/lab-${this.#labs++}`;
    const system = await open(name, directory, {
      smallDisks: kind === "small-disks",
      ...(realtimeMs === undefined ? {} : { realtimeMs }),
    });
    const where = `${setup.mode}, PostgreSQL ${setup.major}`;
    const run = new Run(system, setup, kind === "by-hand");
    let done = 0;
    try {
      await run.begin();
      this.#version ||= await system.version();
      for (const entry of entries) {
        done += 1;
        if (!(await this.#fault(run, entry, setup))) break;
      }
      const { findings } = await run.finish();
      const last = entries[done - 1]?.id;
      for (const { check, message } of findings) {
        this.#findings.push(`${where}, lab ${this.#labs} until ${last}: ${check}: ${message}`);
      }
      if (findings.length > 0) await this.#keepLogs(system);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#findings.push(`${where}, ${entries[done - 1]?.id ?? "begin"}: broke off: ${reason}`);
      console.log(`broke off: ${thrown instanceof Error ? thrown.stack : reason}`);
      await this.#keepLogs(system);
    } finally {
      await run.end();
      await system.lab.down();
    }
    return done;
  }

  /** One fault; false when the node did not come back from it. */
  async #fault(run: Run, entry: CatalogueEntry, setup: Setup): Promise<boolean> {
    const phaseMs = this.#rng.int(0, TIMINGS[setup.timings].loop_wait * 1_000);
    const result = await run.fault(entry.fault, phaseMs);
    const wrong = judge(result, entry, setup.mode);
    this.#rows.push({ id: entry.id, setup, result, wrong });
    const verdict = wrong.length === 0 ? "ok" : wrong.join("; ");
    console.log(
      `${setup.mode} ${setup.major} ${entry.id} ${result.fault} [${result.hosts.join()}]: gap ${ms(result.gapMs)}, ` +
        `two nodes ${ms(result.overlapMs)}, lost ${result.lost}, promotions ${result.promotions}, ` +
        `redundant after ${result.redundancyMs === undefined ? "never" : ms(result.redundancyMs)}: ${verdict}` +
        (result.note ? ` (${result.note})` : ""),
    );
    return result.redundancyMs !== undefined;
  }

  async #keepLogs(system: System): Promise<void> {
    const { dir, name } = parse(this.#options.report);
    const directory = join(dir, `${name}-logs-${this.#labs}`);
    mkdirSync(directory, { recursive: true });
    for (const host of system.hosts) {
      const log = host.alive() ? await system.logs(host) : "the host is off\n";
      writeFileSync(join(directory, `${host.name}.log`), log);
    }
    console.log(`logs in ${directory}`);
  }

  #write(): void {
    const { system, seed, report } = this.#options;
    const text = renderReport({
      system,
      version: this.#version,
      seed,
      rows: this.#rows,
      findings: this.#findings,
      notDone: NOT_DONE,
    });
    mkdirSync(dirname(report), { recursive: true });
    writeFileSync(report, text);
    console.log(`\n${text}\nreport: ${report}`);
  }
}

const ms = (value: number): string => `${Math.round(value)} ms`;

const good = await new Matrix(parseMatrixOptions(process.argv.slice(2))).run();
process.exit(good ? 0 : 1);
