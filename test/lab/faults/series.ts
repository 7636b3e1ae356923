// Many runs one after the other on one cluster, what they came to, and evidence of those that went wrong.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "../lab.ts";
import type { LabMember } from "../members.ts";
import { createRun, type Run } from "./create-run.ts";

export interface SeriesOptions {
  readonly seed: number;
  readonly numbers: readonly number[];
  /** Only faults of these kinds. */
  readonly kinds?: readonly string[] | undefined;
  /** Where logs of the hosts are put when a run goes wrong. */
  readonly evidence: string;
  readonly print: (line: string) => void;
}

/** Makes the runs. One that goes wrong does not end the series; a cluster that does not come back does. */
export async function series(
  lab: Lab,
  members: readonly LabMember[],
  options: SeriesOptions,
): Promise<readonly Run[]> {
  const made: Run[] = [];
  for (const number of options.numbers) {
    const run = await createRun(lab, members, options.seed, number, options.kinds).catch(
      async (thrown: unknown) => {
        await keepEvidence(members, join(options.evidence, `run-${number}`));
        throw new Error(`run ${number} of seed ${options.seed}: ${String(thrown)}`);
      },
    );
    made.push(run);
    options.print(run.text);
    if (run.wrong.length === 0) continue;
    for (const each of run.wrong) options.print(`  WRONG: ${each}`);
    await keepEvidence(members, join(options.evidence, `run-${number}`));
  }
  return made;
}

/** How many of each end, in words. */
export function summary(runs: readonly Run[]): string {
  const ends = new Map<string, number>();
  for (const { ended } of runs) ends.set(ended, (ends.get(ended) ?? 0) + 1);
  const wrong = runs.filter((run) => run.wrong.length > 0);
  const counts = [...ends].map(([end, count]) => `${count} ${end}`).join(", ");
  const numbers = wrong.map(({ number }) => number).join(", ");
  return `${runs.length} runs: ${counts}; ${wrong.length} wrong${wrong.length > 0 ? ` (${numbers})` : ""}`;
}

async function keepEvidence(members: readonly LabMember[], directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  for (const { host } of members) {
    const journal = ["journalctl", "-b", "-o", "short-precise", "--no-pager", "-n", "5000"];
    const { stdout } = await host.exec(journal, { check: false, timeoutMs: 20_000 });
    writeFileSync(join(directory, `${host.name}.journal`), stdout);
    const processes = await host.exec(["ps", "-eo", "pid,ppid,stat,lstart,args"], { check: false });
    writeFileSync(join(directory, `${host.name}.processes`), processes.stdout);
  }
  const [member] = members;
  if (!member) return;
  const { databases = [] } = await member.api("GET", "/v1/databases");
  const tasks: unknown[] = [];
  for (const { id } of databases) {
    const path = `/v1/databases/${id}/tasks`;
    const listed = await member.api("GET", path);
    for (const task of listed.tasks ?? [])
      tasks.push(task, await member.api("GET", `${path}/${task.task_id}/log`));
  }
  writeFileSync(join(directory, "cluster.json"), JSON.stringify({ databases, tasks }, null, 2));
}
