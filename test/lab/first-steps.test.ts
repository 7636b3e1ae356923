// From three bare machines to a database on all of them by four commands of the command line, run on the machines.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab, type LabHost } from "./lab.ts";
import { type Body, LabMember, query, specOn } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 120;
const names = ["one", "two", "three"];

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/first-steps`, image);
    members = await LabMember.bootAll(lab, names);
  }, secondsMax * 1_000);
  afterAll(() => lab.down(), secondsMax * 1_000);

  /** A command as somebody types it on that host. */
  const pgherd = async (host: LabHost, words: string): Promise<string> => {
    const env = { PGHERD_SERVER: `http://${host.address}:3000` };
    const command = ["pgherd", ...words.split(" ")];
    return (await host.exec(command, { env, timeoutMs: secondsMax * 1_000 })).stdout;
  };

  test(
    "init, two joins and db create: under two minutes, and every host answers everything",
    async () => {
      const [one, two, three] = members.map(({ host }) => host);
      if (!one || !two || !three) throw new Error("no hosts");
      const file = "/root/shop.json";
      writeFileSync(join(one.root, file), JSON.stringify({ id: "shop", spec: specOn(names) }));
      const startMs = performance.now();
      const { token } = JSON.parse(await pgherd(one, "-o json cluster init"));
      await pgherd(two, `cluster join ${token} http://${one.address}:3000`);
      await pgherd(three, `cluster join ${token} http://${one.address}:3000`);
      const joined = (performance.now() - startMs) / 1_000;
      await pgherd(one, `--wait db create -f ${file}`);
      const seconds = (performance.now() - startMs) / 1_000;
      console.log(
        `four commands to a database on three hosts: ${seconds.toFixed(1)} s, of which until the cluster stood ${joined.toFixed(1)} s`,
      );
      expect(seconds).toBeLessThan(secondsMax);

      const said: string[] = [];
      for (const { host } of members) {
        expect(JSON.parse(await pgherd(host, "-o json db get shop"))).toMatchObject({
          state: "available",
          instances: names.map(() => ({ state: "available" })),
        });
        expect((await pgherd(host, "-o name host list")).trim().split("\n").sort()).toEqual(
          names.toSorted(),
        );
        said.push(await pgherd(host, "-o name task list"));
      }
      expect(new Set(said).size).toBe(1);
      for (const member of members) {
        for (const through of members)
          expect(await query(member, "shop", "SELECT 40 + 2", through)).toBe("42");
      }
      // The nodes are apart until they replicate: what one is told stays with it.
      const [first, second] = members;
      if (!first || !second) throw new Error("no hosts");
      await query(first, "shop", "CREATE TABLE here (n int)");
      const there = "SELECT to_regclass('here') IS NULL";
      expect(await query(second, "shop", there)).toBe("t");
    },
    secondsMax * 1_000,
  );

  test(
    "every host takes every kind of request, and shows at once what another was asked for",
    async () => {
      const completed = { status: "completed" };
      for (const [at, member] of members.entries()) {
        const other = members[(at + 1) % members.length] ?? member;
        const id = `at-${member.host.name}`;
        const path = `/v1/databases/${id}`;
        const spec = specOn([names[0] ?? ""]);
        expect(await member.change("POST", "/v1/databases", { id, spec })).toMatchObject(completed);
        const larger = specOn([names[0] ?? ""], { postgresql_conf: { max_connections: 41 } });
        expect(await other.change("POST", path, { spec: larger })).toMatchObject(completed);
        const { instances } = await member.api("GET", path);
        const restart = `${path}/instances/${instances[0].id}/restart`;
        expect(await member.change("POST", restart, {})).toMatchObject(completed);
        const { tasks } = await other.api("GET", `${path}/tasks`);
        expect(tasks.map(({ status }: Body) => status)).toEqual(Array(3).fill("completed"));
        expect(await other.change("DELETE", path)).toMatchObject(completed);
        expect((await member.api("GET", path)).status_code).toBe(404);
      }
    },
    secondsMax * 1_000,
  );
}
