// What a host says of itself when something on it did not come about, printed before the lab is gone.
import type { LabHost } from "./host.ts";

const journalLinesMax = 120;

const questions = [
  ["systemctl", "list-jobs", "--no-legend", "--plain"],
  ["systemctl", "show", "--property=Id,ActiveState,SubState,Result,NRestarts", "pgherd*"],
  ["ps", "-eo", "pid,ppid,user:10,stat,lstart,args"],
  [
    ...["journalctl", "-b", "-o", "short-precise", "--no-pager"],
    ...["-n", String(journalLinesMax), "-u", "pgherd*"],
  ],
];

/** Does the work; when it fails, prints the state of the host first. */
export async function withEvidence(host: LabHost, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    for (const argv of questions) {
      const said = await host
        .exec(argv, { check: false, timeoutMs: 20_000 })
        .then(({ stdout, stderr }) => stdout || stderr, String);
      console.error(`--- ${host.name}: ${argv.join(" ")}\n${said}`);
    }
    throw error;
  }
}
