// Runs faults against a system under load, one after the other: inject, hold, end, wait for full redundancy, count.
// At the end everything is compared. Nothing here knows which system it is.
import type { Attempt } from "./attempt.ts";
import { rowId } from "./attempt.ts";
import { checkAppends } from "./checks/append.ts";
import { checkEpochs } from "./checks/epochs.ts";
import { checkEquality } from "./checks/equality.ts";
import type { Finding } from "./checks/finding.ts";
import { writeGap } from "./checks/gap.ts";
import { checkLeaks } from "./checks/leaks.ts";
import { checkLedger, lostRows } from "./checks/ledger.ts";
import { checkStaleReads } from "./checks/stale.ts";
import { checkTimelines } from "./checks/timelines.ts";
import { checkTwoPrimaries, overlap } from "./checks/two-primaries.ts";
import { dataOf, ledgerOf, leftoversOf, listsOf, missingRedundancy, timelinesOf } from "./facts.ts";
import { describe, type Expectation, expectation, type Fault } from "./faults/fault.ts";
import { inject } from "./faults/inject.ts";
import type { Setup, System } from "./system.ts";
import { Workload } from "./workload/workload.ts";

const pollMs = 100;
const settleMs = 1_000;
/** Beyond the time in which a fault has to be noticed: until rewinds and copies are done. */
const redundancyMaxMs = 120_000;
const writerCount = 4;

export interface FaultResult {
  readonly fault: string;
  readonly hosts: readonly string[];
  readonly note: string;
  /** Largest time without an acknowledged write, past all load balancers. */
  readonly gapMs: number;
  /** Time in which an older primary acknowledged beside a newer one. */
  readonly overlapMs: number;
  readonly lost: number;
  /** Timelines that were begun. */
  readonly promotions: number;
  /** From the end of the fault until every instance streams again; undefined when that never came. */
  readonly redundancyMs: number | undefined;
  /** What kept full redundancy away. */
  readonly missing: string;
}

export interface RunResult {
  readonly system: string;
  readonly version: string;
  readonly setup: Setup;
  readonly faults: readonly FaultResult[];
  readonly acked: number;
  readonly unknown: number;
  readonly lost: number;
  readonly findings: readonly Finding[];
}

/** One run over one system. */
export class Run {
  readonly #system: System;
  readonly #setup: Setup;
  readonly #workload: Workload;
  readonly #expectation: Expectation;
  readonly #lost = new Set<string>();
  readonly #results: FaultResult[] = [];
  #findings: Finding[] = [];

  /** `byHand` says that what faults do is done behind the system's back: rows written there may go. */
  constructor(system: System, setup: Setup, byHand = false) {
    this.#expectation = expectation(setup.mode, byHand);
    this.#system = system;
    this.#setup = setup;
    this.#workload = new Workload(system, writerCount);
  }

  /** Boots everything and waits until every instance streams under load. */
  async begin(): Promise<void> {
    await this.#system.up(this.#setup);
    await this.#workload.start();
    const missing = await this.#redundant(redundancyMaxMs);
    if (missing !== undefined) throw new Error(`never redundant to begin with: ${missing}`);
    await Bun.sleep(settleMs);
  }

  /** Does one fault and measures it. `phaseMs` is waited before, so that faults hit every phase of a loop. */
  async fault(fault: Fault, phaseMs: number): Promise<FaultResult> {
    await Bun.sleep(phaseMs);
    // An agent that was hit by the last fault may not answer yet, although PostgreSQL is well.
    await this.#redundant(redundancyMaxMs);
    const primary = () => this.#workload.route.primary()?.host;
    const beganMs = performance.now();
    const injected = await inject(fault, { system: this.#system, primary });
    if ("forMs" in fault) await Bun.sleep(fault.forMs);
    await injected.undo?.();
    const endedMs = performance.now();
    const boundMs = this.#system.detectionMs + redundancyMaxMs;
    const missing = await this.#redundant(boundMs);
    const redundancyMs = missing === undefined ? performance.now() - endedMs : undefined;
    await Bun.sleep(settleMs);
    const result = {
      fault: describe(fault),
      hosts: injected.hosts,
      note: injected.note,
      redundancyMs,
      missing: missing ?? "",
      ...(await this.#measure(beganMs)),
    };
    this.#results.push(result);
    if (missing !== undefined) {
      const message = `after "${result.fault}": ${missing} for ${Math.round(boundMs / 1_000)} s`;
      this.#findings.push({ check: "redundancy", message });
    }
    return result;
  }

  /** Stops the clients and compares everything on every node. */
  async finish(): Promise<RunResult> {
    await this.#workload.stop();
    const { attempts } = this.#workload.recording;
    const missing = await this.#redundant(redundancyMaxMs);
    if (missing === undefined) this.#findings.push(...(await this.#compare()));
    else this.#findings.push({ check: "redundancy", message: `at the end: ${missing}` });
    await this.#workload.route.stop();
    const count = (outcome: Attempt["outcome"]) =>
      attempts.filter((attempt) => attempt.outcome === outcome).length;
    return {
      system: this.#system.name,
      version: await this.#system.version(),
      setup: this.#setup,
      faults: this.#results,
      acked: count("acked"),
      unknown: count("unknown"),
      lost: this.#lost.size,
      findings: this.#findings,
    };
  }

  /** Ends every client, however the run went: the next lab has the same addresses. */
  async end(): Promise<void> {
    await this.#workload.stop();
    await this.#workload.route.stop();
  }

  /** Waits for full redundancy; answers what is missing when it does not come. */
  async #redundant(boundMs: number): Promise<string | undefined> {
    const endMs = performance.now() + boundMs;
    for (;;) {
      const { route } = this.#workload;
      await route.look();
      const missing = await missingRedundancy(this.#system, route.primary()?.host, this.#setup);
      if (missing === undefined || performance.now() > endMs) return missing;
      await Bun.sleep(pollMs);
    }
  }

  async #measure(beganMs: number) {
    const nowMs = performance.now();
    const { attempts } = this.#workload.recording;
    const within = attempts.filter(({ endedMs }) => endedMs >= beganMs);
    const before = attempts.filter(({ endedMs }) => endedMs < beganMs).slice(-1_000);
    const known = new Set(before.filter(({ outcome }) => outcome === "acked").map(timelineOf));
    const begun = new Set(within.filter(({ outcome }) => outcome === "acked").map(timelineOf));
    const lost = (await this.#lostOf(within)).length;
    return {
      gapMs: writeGap([...before, ...within], beganMs, nowMs),
      overlapMs: overlap([...before, ...within]).ms,
      lost,
      promotions: [...begun].filter((timeline) => !known.has(timeline)).length,
    };
  }

  /** Acknowledged rows of these attempts that the primary does not have. */
  async #lostOf(attempts: readonly Attempt[]): Promise<Attempt[]> {
    const primary = this.#primary();
    if (!primary) return [];
    const lost = lostRows(attempts, await ledgerOf(this.#system, primary));
    for (const attempt of lost) this.#lost.add(rowId(attempt));
    return lost;
  }

  #primary() {
    const name = this.#workload.route.primary()?.host;
    return this.#system.hosts.find((host) => host.name === name);
  }

  async #compare(): Promise<Finding[]> {
    const system = this.#system;
    const primary = this.#primary();
    if (!primary) return [{ check: "redundancy", message: "at the end: no primary" }];
    const { attempts, reads } = this.#workload.recording;
    const { mayLose, mayOverlap } = this.#expectation;
    const standbys = system.hosts.filter((host) => host !== primary);
    const findings: Finding[] = mayOverlap ? [] : checkTwoPrimaries(attempts);
    await this.#lostOf(attempts);
    for (const host of system.hosts) {
      findings.push(...checkLedger(attempts, await ledgerOf(system, host), host.name, mayLose));
      findings.push(...checkAppends(attempts, await listsOf(system, host)));
    }
    const clients = new Set(this.#workload.writers.map(({ client }) => client));
    const written = attempts.filter(({ client }) => clients.has(client));
    findings.push(...checkStaleReads(written, reads, this.#lost));
    const acked = attempts.filter(({ outcome }) => outcome === "acked");
    const timelines = await Promise.all(standbys.map((host) => timelinesOf(system, host)));
    const ofPrimary = await timelinesOf(system, primary);
    findings.push(...checkTimelines(ofPrimary, timelines, new Set(acked.map(timelineOf)), mayLose));
    findings.push(...checkEpochs((await system.epochs()) ?? []));
    const data = await Promise.all(system.hosts.map((host) => dataOf(system, host)));
    findings.push(...checkEquality(data, this.#workload.balance));
    const leftovers = await Promise.all(system.hosts.map((host) => leftoversOf(system, host)));
    return [...findings, ...checkLeaks(leftovers, this.#results.length)];
  }
}

const timelineOf = ({ timeline }: Attempt): number => timeline;
