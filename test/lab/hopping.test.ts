// A client that asks another host with every request, while the leader is lost in every way there is: each answer is
// right, or a refusal for the moment that says when to come again. What one host took, every other shows at once.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, Lab } from "./lab.ts";
import { type Body, cluster, healthy, LabMember, leaderOf } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 180_000;
const outageMsMax = 5_000;
const answerMsMax = 5_000;
/** What a client waits for one that may be gone before it asks another. */
const patienceMs = 1_000;

interface Journal {
  /** Answers that are neither good nor retryable, or that miss what was acknowledged. */
  readonly wrong: string[];
  /** Longest time in which no host that was not lost gave a good answer. */
  outageMs: number;
  good: number;
  refused: number;
  slowestMs: number;
}

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/hopping`, image);
    members = await LabMember.bootAll(lab, ["one", "two", "three"]);
    await cluster(members);
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  /** Hops until told to stop. `lost` may be silent; all others must answer. */
  const hop = async (lost: LabMember, going: () => boolean): Promise<Journal> => {
    const journal: Journal = { wrong: [], outageMs: 0, good: 0, refused: 0, slowestMs: 0 };
    let acknowledged: string | undefined;
    let lastGoodMs = performance.now();
    const take = (member: LabMember, what: string, answer: Body): boolean => {
      const silent = answer.status_code === 0 && member === lost;
      if (!silent) journal.slowestMs = Math.max(journal.slowestMs, answer.seconds * 1_000);
      if (answer.status_code === 200) {
        journal.good += 1;
        if (member !== lost) {
          journal.outageMs = Math.max(journal.outageMs, performance.now() - lastGoodMs);
          lastGoodMs = performance.now();
        }
        return true;
      }
      if (answer.status_code === 503 && answer.retry_after !== null) journal.refused += 1;
      else if (!silent)
        journal.wrong.push(`${what} at ${member.host.name}: ${JSON.stringify(answer)}`);
      return false;
    };
    for (let at = 0; going(); at++) {
      const member = members[at % members.length];
      if (!member) break;
      const waitMs = member === lost ? patienceMs : answerMsMax;
      const listed = await member.api("GET", "/v1/cluster/join-tokens", undefined, waitMs);
      if (take(member, "list", listed) && acknowledged !== undefined) {
        if (!listed.tokens.some(({ id }: Body) => id === acknowledged))
          journal.wrong.push(`${member.host.name} does not show ${acknowledged}`);
      }
      const made = await member.api("POST", "/v1/cluster/join-tokens", {}, waitMs);
      if (take(member, "create", made)) acknowledged = made.id;
      await Bun.sleep(20);
    }
    return journal;
  };

  const losses: Readonly<Record<string, (leader: LabMember) => Promise<() => Promise<void>>>> = {
    "its power goes": async ({ host }) => {
      await host.powerOff();
      return () => host.start();
    },
    "it stalls": async ({ host }) => {
      host.freeze();
      return async () => host.thaw();
    },
    "it is cut off": async ({ host }) => {
      await lab.partition([host]);
      return () => lab.heal();
    },
    "others hear nothing of it": async ({ host }) => {
      for (const other of members) if (other.host !== host) await lab.cutOneWay(host, other.host);
      return () => lab.heal();
    },
    "its server is killed": async ({ host }) => {
      await host.exec(["pkill", "-KILL", "-f", "^/usr/local/bin/pgherd server"], { check: false });
      return async () => undefined;
    },
  };

  for (const [what, lose] of Object.entries(losses)) {
    test(
      `the leader is lost because ${what}`,
      async () => {
        await healthy(members);
        const leader = await leaderOf(members);
        let going = true;
        const hopping = hop(leader, () => going);
        await Bun.sleep(1_000);
        const mend = await lose(leader);
        await Bun.sleep(8_000);
        await mend();
        await eventually(
          "it answers again",
          async () =>
            (await leader.api("GET", "/v1/databases", undefined, 2_000)).status_code === 200,
          60_000,
        );
        await Bun.sleep(1_000);
        going = false;
        const journal = await hopping;
        console.log(
          `${what}: ${journal.good} good answers, ${journal.refused} for the moment refused, ` +
            `without any for ${Math.round(journal.outageMs)} ms, slowest ${Math.round(journal.slowestMs)} ms`,
        );
        expect(journal.wrong).toEqual([]);
        expect(journal.good).toBeGreaterThan(50);
        expect(journal.outageMs).toBeLessThan(outageMsMax);
      },
      secondsMax,
    );
  }
}
