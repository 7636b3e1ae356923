// Hosts come and go while the cluster works: one joins under load, the leader is removed, a dead one is replaced.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, Lab } from "./lab.ts";
import {
  type Body,
  cluster,
  healthy,
  LabMember,
  leaderOf,
  query,
  specOn,
  states,
} from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 300_000;
const completed = { status: "completed" };

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: LabMember[];
  let fourth: LabMember;

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/changing`, image);
    const booted = await LabMember.bootAll(lab, ["one", "two", "three", "four"]);
    members = booted.slice(0, 3);
    const [last] = booted.slice(3);
    if (!last) throw new Error("no fourth host");
    fourth = last;
    await cluster(members);
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  const [names, others] = [
    () => members.map(({ host }) => host.name),
    (than: LabMember) => members.filter((member) => member !== than),
  ];
  const joining = async (member: LabMember, through: LabMember): Promise<Body> => {
    const { token, server_urls } = await through.api("GET", "/v1/cluster/join-token");
    return member.api("POST", "/v1/cluster/join", { token, server_urls }, 120_000);
  };

  test(
    "a host joins while databases are made and every host is asked",
    async () => {
      const [first] = members;
      if (!first) throw new Error("no hosts");
      let going = true;
      let answers = 0;
      const wrong: string[] = [];
      const asking = members.map(async (member) => {
        while (going) {
          const answer = await member.api("GET", "/v1/databases", undefined, 10_000);
          answers += 1;
          if (answer.status_code !== 200 && answer.status_code !== 503)
            wrong.push(JSON.stringify(answer));
          await Bun.sleep(20);
        }
      });
      const making = Array.from({ length: 4 }, (_, at) => {
        const spec = specOn([names()[at % 3] ?? ""]);
        return first.api("POST", "/v1/databases", { id: `load${at}`, spec });
      });
      const tasks = (await Promise.all(making)).map(({ task }) => task);
      const startMs = performance.now();
      const joined = await joining(fourth, first);
      console.log(`joined under load in ${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
      expect(joined).toMatchObject({ status_code: 204 });
      expect((await states(fourth)).four).toBe("healthy");
      for (const task of tasks) expect(await first.ended(task)).toMatchObject(completed);
      going = false;
      await Promise.all(asking);
      console.log(`${answers} answers meanwhile`);
      expect(wrong).toEqual([]);
      members.push(fourth);
      await healthy(members);
      for (const { entity_id } of tasks)
        expect(await fourth.change("DELETE", `/v1/databases/${entity_id}`)).toMatchObject(
          completed,
        );
    },
    secondsMax,
  );

  test(
    "the leader is removed with what is on it, and comes in again",
    async () => {
      const leader = await leaderOf(members);
      const [through] = others(leader);
      if (!through) throw new Error("no hosts");
      const spec = specOn(names());
      expect(await through.change("POST", "/v1/databases", { id: "wide", spec })).toMatchObject(
        completed,
      );
      const refused = await through.api("DELETE", `/v1/hosts/${leader.host.name}`);
      expect(refused.status_code).toBeGreaterThanOrEqual(400);
      const path = `/v1/hosts/${leader.host.name}?force=true`;
      const removed = await through.api("DELETE", path);
      expect(removed).toMatchObject({ status_code: 200 });
      for (const member of others(leader)) {
        await eventually(
          `${member.host.name} no longer lists it`,
          async () => !Object.keys(await states(member)).includes(leader.host.name),
          120_000,
        );
      }
      await eventually(
        "its database is without it",
        async () => {
          const { state, instances } = await through.api("GET", "/v1/databases/wide");
          return state === "available" && instances.length === 3;
        },
        60_000,
      );
      await leaderOf(others(leader));
      for (const member of others(leader))
        expect(await query(member, "wide", "SELECT 1", through)).toBe("1");
      await eventually(
        "it is none of the cluster's any more",
        async () => (await leader.api("GET", "/v1/databases")).name === "cluster_not_initialized",
        60_000,
      );
      expect(await joining(leader, through)).toMatchObject({ status_code: 204 });
      await healthy(members);
      expect(await through.change("DELETE", "/v1/databases/wide")).toMatchObject(completed);
    },
    secondsMax,
  );

  test(
    "a dead host is replaced by another in one call",
    async () => {
      const [first, dead, third, spare] = members;
      if (!first || !dead || !third || !spare) throw new Error("no hosts");
      const spec = specOn([first.host.name, dead.host.name]);
      expect(await first.change("POST", "/v1/databases", { id: "moved", spec })).toMatchObject(
        completed,
      );
      await query(first, "moved", "CREATE TABLE kept AS SELECT 7 AS n");
      await dead.host.powerOff();
      await eventually(
        "it is seen as gone",
        async () => (await states(first))[dead.host.name] === "unreachable",
        90_000,
      );
      const path = `/v1/hosts/${dead.host.name}/replace`;
      const startMs = performance.now();
      const answer = await third.api("POST", path, { replacement: spare.host.name });
      expect(answer).toMatchObject({ status_code: 200 });
      expect(answer.lost).toMatchObject([{ database_id: "moved", node_name: "n2" }]);
      await eventually(
        "the other host took its place",
        async () => {
          const answer = await third.api("GET", "/v1/databases/moved");
          if (answer.status_code !== 200) console.log(JSON.stringify(answer));
          const { state, instances = [] } = answer;
          const hosts = instances.map(({ host_id }: Body) => host_id).sort();
          return (
            state === "available" &&
            hosts.join() === [first.host.name, spare.host.name].sort().join() &&
            !Object.keys(await states(third)).includes(dead.host.name)
          );
        },
        120_000,
      );
      console.log(`replaced in ${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
      expect(await query(first, "moved", "SELECT n FROM kept")).toBe("7");
      expect(await query(spare, "moved", "SELECT 1", first)).toBe("1");
      await dead.host.start();
      await dead.alive();
      await eventually(
        "the replaced host notices it",
        async () => (await dead.api("GET", "/v1/databases")).name === "cluster_not_initialized",
        90_000,
      );
    },
    secondsMax,
  );
}
