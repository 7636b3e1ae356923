// One run: a database with a node on every host is made, a fault strikes at a random moment, everything is mended; then
// its task must have ended, its scripts must have run once, and after its deletion nothing of it may be left.
import { eventually, type Lab } from "../lab.ts";
import { type Body, type LabMember, query, specOn } from "../members.ts";
import { drawFault, type Fault } from "./fault.ts";
import { seeded } from "./random.ts";
import { portsOf, remains } from "./remains.ts";

export interface Run {
  readonly number: number;
  readonly fault: Fault;
  /** completed, failed, canceled; refused: no task was made and nothing else either. */
  readonly ended: string;
  /** What must not be; empty when all is well. */
  readonly wrong: readonly string[];
  readonly text: string;
}

const momentMsMax = 6_000;
const finalMsMax = 180_000;
const scripts = {
  post_init: [
    "CREATE TABLE IF NOT EXISTS init_runs (at timestamptz DEFAULT clock_timestamp())",
    "INSERT INTO init_runs DEFAULT VALUES",
    "GRANT SELECT ON init_runs TO PUBLIC",
  ],
  post_database_create: [
    "CREATE TABLE IF NOT EXISTS create_runs (at timestamptz DEFAULT clock_timestamp())",
    "INSERT INTO create_runs DEFAULT VALUES",
    "GRANT SELECT ON create_runs TO admin",
  ],
};

/** Makes one run. It throws only when the cluster itself cannot be brought back. */
export async function createRun(
  lab: Lab,
  members: readonly LabMember[],
  seed: number,
  number: number,
  kinds?: readonly string[],
): Promise<Run> {
  const random = seeded(seed, number);
  const databaseId = `f${number}`;
  const fault = drawFault({ lab, members, databaseId }, random, kinds);
  const momentMs = Math.round(random.between(0, momentMsMax));
  const start = random.pick(members);
  const startMs = performance.now();
  const asked = ask(members, start, databaseId);
  await Bun.sleep(momentMs);
  await fault.strike();
  await Bun.sleep(fault.lastsMs);
  await fault.end();
  const answer = await asked;
  await answering(members);
  const through = random.pick(members);
  const judged = await judge(members, through, databaseId, answer);
  const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
  const text = `run ${number}: asked ${start.host.name}; after ${(momentMs / 1_000).toFixed(2)} s ${fault.text} -> ${judged.ended} ${judged.detail}, ${seconds} s`;
  return { number, fault, ...judged, text };
}

/** Asks for the database as a client does: one that gets no answer, or a refusal for the moment, asks the next host. */
async function ask(
  members: readonly LabMember[],
  start: LabMember,
  databaseId: string,
): Promise<Body> {
  const spec = specOn(
    members.map(({ host }) => host.name),
    { scripts },
  );
  const key = crypto.randomUUID();
  const endMs = performance.now() + 60_000;
  for (let at = members.indexOf(start); ; at++) {
    const member = members[at % members.length];
    const answer = await member?.api("POST", "/v1/databases", { id: databaseId, spec }, 10_000, {
      "idempotency-key": key,
    });
    const again = answer?.status_code === 0 || answer?.status_code === 503;
    if (!again || performance.now() > endMs) return answer;
    await Bun.sleep(250);
  }
}

/** Every member answers again. */
export async function answering(members: readonly LabMember[]): Promise<void> {
  for (const member of members) {
    await eventually(
      `${member.host.name} answers`,
      async () => (await member.api("GET", "/v1/databases", undefined, 5_000)).status_code === 200,
      90_000,
    );
  }
}

async function judge(
  members: readonly LabMember[],
  through: LabMember,
  databaseId: string,
  answer: Body,
): Promise<Pick<Run, "ended" | "wrong"> & { readonly detail: string }> {
  const wrong: string[] = [];
  const database = await through.api("GET", `/v1/databases/${databaseId}`);
  if (database.status_code === 404) {
    if (answer.status_code === 200) wrong.push("accepted, and lost");
    const left = await remains(members, databaseId, new Map());
    const detail = `with ${answer.status_code} ${answer.message ?? answer.error ?? ""}`;
    return { ended: "refused", wrong: [...wrong, ...left], detail };
  }
  const task = await final(through, databaseId);
  if (task === undefined) {
    const [unfinished] = (await through.api("GET", `/v1/databases/${databaseId}/tasks`)).tasks;
    return { ended: "stuck", wrong: ["its task does not end"], detail: JSON.stringify(unfinished) };
  }
  // The fault may have struck after the task: nodes are asked when they are whole again.
  const whole = task.status !== "completed" || (await available(through, databaseId));
  const ran = await scriptRuns(members, through, databaseId);
  if (!whole) wrong.push("completed, and not available");
  for (const [where, count] of Object.entries(ran)) {
    if (count > 1) wrong.push(`the script ran ${count} times: ${where}`);
    if (count !== 1 && task.status === "completed") wrong.push(`the script did not run: ${where}`);
  }
  const ports = portsOf(await through.api("GET", `/v1/databases/${databaseId}`));
  const removed = await through.change("DELETE", `/v1/databases/${databaseId}`);
  if (removed.status !== "completed") wrong.push(`delete ${removed.status}: ${removed.error}`);
  else wrong.push(...(await remains(members, databaseId, ports)));
  const error = task.error === undefined ? "" : `(${task.error}) `;
  return { ended: task.status, wrong, detail: `${error}scripts ${Object.values(ran).join("")}` };
}

/** The create task in its final state, or undefined when it never got there. */
async function final(through: LabMember, databaseId: string): Promise<Body | undefined> {
  const { tasks } = await through.api("GET", `/v1/databases/${databaseId}/tasks`);
  return through.ended(tasks.at(-1), finalMsMax).catch(() => undefined);
}

async function available(through: LabMember, databaseId: string): Promise<boolean> {
  const settled = eventually(
    `${databaseId} is available`,
    async () => {
      const { state, instances } = await through.api("GET", `/v1/databases/${databaseId}`);
      return state === "available" && instances.every((each: Body) => each.state === "available");
    },
    60_000,
  );
  return settled.then(
    () => true,
    () => false,
  );
}

/** How often each script ran on each node; 0 also when the node does not answer. */
async function scriptRuns(
  members: readonly LabMember[],
  through: LabMember,
  databaseId: string,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const member of members) {
    for (const [database, table] of [
      ["postgres", "init_runs"],
      ["shop", "create_runs"],
    ] as const) {
      const text = `SELECT count(*) FROM ${table}`;
      const count = await query(member, databaseId, text, through, database).catch(() => "0");
      counts[`${table} on ${member.host.name}`] = Number(count);
    }
  }
  return counts;
}
