// What pgbench does while the agents of the primary's host run and while they are stopped, in turns and within one
// run, so that the machine's own ups and downs, which are larger than what is measured, meet both alike.
import { processesOf, signal } from "../../test/ha-rig/faults/processes.ts";
import type { LabHost } from "../../test/lab/lab.ts";

/** Not counted after each turn: agents have something to catch up with then. */
const settleS = 1;
/** Not counted when pgbench begins. */
const warmS = 5;

export interface TurnOptions {
  readonly host: LabHost;
  /** Whether a process is an agent, by its command line. */
  readonly isAgent: (args: string) => boolean;
  readonly pairs: number;
  /** Length of one turn; shorter than any lease. */
  readonly seconds: number;
  /** Starts pgbench with a line of progress every second. */
  readonly load: () => Load;
  /** A look at the CPU seconds that pgbench and the databases have used so far. */
  readonly meter: () => () => number;
  /** Whether the host leads the store: agents of all hosts would have to look for another leader. */
  readonly leads: () => Promise<boolean>;
}

export interface Load {
  /** Ends it and answers its standard error. */
  stop(): Promise<string>;
}

/** One quantity while the agents run and while they are stopped. */
export interface InTurns {
  readonly running: number;
  readonly stopped: number;
  /** Mean of running : stopped, each turn beside the two around it. */
  readonly ratio: number;
  /** Standard error of the ratio. */
  readonly error: number;
  /** Turns with running agents that are in it. */
  readonly turns: number;
}

interface Turn {
  readonly fromS: number;
  readonly toS: number;
  /** Of a second, what pgbench and the databases had. */
  readonly processors: number;
  readonly disturbed: boolean;
}

/**
 * Transactions per second, and the processors that pgbench and the databases had: how much a processor does in a second
 * changes by tens of percent on a machine that others share, and that is in the first figure only.
 */
export async function inTurns(
  options: TurnOptions,
): Promise<{ readonly transactions: InTurns; readonly processors: InTurns }> {
  const { pairs, seconds, load, meter } = options;
  const going = load();
  const turns: Turn[] = [];
  await Bun.sleep(warmS * 1_000);
  for (let at = 0; at <= 2 * pairs; at++) {
    const stopped = at % 2 === 0;
    const disturbed = await options.leads();
    const resume = stopped ? await stop(options) : undefined;
    const used = meter();
    await Bun.sleep(settleS * 1_000);
    const from = { s: Date.now() / 1_000, used: used() };
    await Bun.sleep((seconds - settleS) * 1_000);
    const to = { s: Date.now() / 1_000, used: used() };
    const processors = (to.used - from.used) / (to.s - from.s);
    turns.push({ fromS: from.s, toS: to.s, processors, disturbed });
    await resume?.();
  }
  const progress = progressOf(await going.stop());
  const transactions = turns.map(({ fromS, toS, disturbed }) =>
    disturbed
      ? Number.NaN
      : mean(progress.filter(({ endS }) => endS - 1 >= fromS && endS <= toS).map(({ tps }) => tps)),
  );
  const processors = turns.map((turn) => (turn.disturbed ? Number.NaN : turn.processors));
  return { transactions: compare(transactions), processors: compare(processors) };
}

/** Also the host's service manager, which would restart agents that do not answer it. */
async function stop({ host, isAgent }: TurnOptions): Promise<() => Promise<void>> {
  const all = processesOf(host);
  const manager = all.filter(({ pid }) => pid === host.pid());
  const agents = all.filter(({ args }) => isAgent(args));
  signal(manager, "SIGSTOP");
  signal(agents, "SIGSTOP");
  return async () => {
    signal(agents, "SIGCONT");
    // They have told it that they live before it looks.
    await Bun.sleep(settleS * 500);
    signal(manager, "SIGCONT");
  };
}

/** Ends of seconds and transactions per second within them, as `pgbench -P 1 --progress-timestamp` tells. */
function progressOf(text: string): readonly { readonly endS: number; readonly tps: number }[] {
  return [...text.matchAll(/^progress: (\d+\.\d+) s, (\d+\.\d+) tps/gm)].map(([, endS, tps]) => ({
    endS: Number(endS),
    tps: Number(tps),
  }));
}

/** Of turns of which every other one, from the first on, is one with stopped agents. NaN: does not count. */
function compare(values: readonly number[]): InTurns {
  const triples = values.flatMap((running, at) => {
    const stopped = ((values[at - 1] ?? Number.NaN) + (values[at + 1] ?? Number.NaN)) / 2;
    return at % 2 === 0 || Number.isNaN(running + stopped) ? [] : [{ running, stopped }];
  });
  const ratios = triples.map(({ running, stopped }) => running / stopped);
  const ratio = mean(ratios);
  const variance = mean(ratios.map((each) => (each - ratio) ** 2));
  return {
    running: mean(triples.map(({ running }) => running)),
    stopped: mean(triples.map(({ stopped }) => stopped)),
    ratio,
    error: Math.sqrt(variance / ratios.length),
    turns: ratios.length,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
