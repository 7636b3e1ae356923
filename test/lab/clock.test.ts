// One host's wall clock is ten minutes off, ahead or behind, the leader's too: it is told as that, and nothing else
// of the cluster is wrong: hosts and instances are seen, databases are made and deleted, the loss of a host is noticed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, Lab } from "./lab.ts";
import { type Body, cluster, LabMember, leaderOf, query, specOn, states } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 180_000;
const names = ["one", "two", "three"];
/** Each takes a minute and a half, most of it waiting until silence counts; four is all. */
const count = Number(process.env.PGHERD_CLOCK_CASES ?? 1);

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];
  const completed = { status: "completed" };

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/clock`, image);
    members = await LabMember.bootAll(lab, names, { ownClock: true });
    await cluster(members);
    const [first] = members;
    const spec = specOn(names);
    expect(await first?.change("POST", "/v1/databases", { id: "old", spec })).toMatchObject(
      completed,
    );
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  /** The state of every host, and of the instances of a database, as one member sees them. */
  const seen = async (through: LabMember, databaseId: string) => {
    const { instances } = await through.api("GET", `/v1/databases/${databaseId}`);
    return {
      hosts: await states(through),
      instances: (instances ?? []).map(({ state }: Body) => state).join(" "),
    };
  };

  const cases = [
    { what: "the leader is ahead", seconds: 600, leads: true },
    { what: "a follower is behind", seconds: -600, leads: false },
    { what: "a follower is ahead", seconds: 600, leads: false },
    { what: "the leader is behind", seconds: -600, leads: true },
  ].slice(0, count);
  for (const [number, { what, seconds, leads }] of cases.entries()) {
    test(
      `ten minutes off: ${what}`,
      async () => {
        const leader = await leaderOf(members);
        const off = leads ? leader : members.find((member) => member !== leader);
        const others = members.filter((member) => member !== off);
        if (!off) throw new Error("no host");
        off.host.shiftClock(seconds);
        // Past the time after which silence counts, however it is counted.
        await Bun.sleep(35_000);
        for (const member of members) {
          const { hosts, instances } = await seen(member, "old");
          const text = `${what}, seen by ${member.host.name}: ${JSON.stringify(hosts)} ${instances}`;
          console.log(text);
          expect({ text, states: Object.values(hosts).includes("unreachable") }).toEqual({
            text,
            states: false,
          });
          expect({ text, instances }).toEqual({ text, instances: "available available available" });
        }
        const id = `off${number}`;
        const spec = specOn(names);
        expect(await off.change("POST", "/v1/databases", { id, spec })).toMatchObject(completed);
        for (const member of members) expect(await query(member, id, "SELECT 1", off)).toBe("1");
        const [one, two] = others;
        if (!one || !two) throw new Error("no hosts");
        expect(await one.change("DELETE", `/v1/databases/${id}`)).toMatchObject(completed);
        await two.host.powerOff();
        for (const member of [one, off]) {
          await eventually(
            `${member.host.name} sees that ${two.host.name} is gone`,
            async () => (await states(member))[two.host.name] === "unreachable",
            60_000,
          );
        }
        await two.host.start();
        await two.alive();
        off.host.shiftClock(0);
        await eventually(
          "all is well again",
          async () => {
            for (const member of members) {
              const { hosts, instances } = await seen(member, "old");
              if (!Object.values(hosts).every((state) => state === "healthy")) return false;
              if (instances !== "available available available") return false;
            }
            return true;
          },
          90_000,
        );
      },
      secondsMax,
    );
  }
}
