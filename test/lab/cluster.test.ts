// Three hosts that are one cluster: every host answers everything; the loss of one, of the leader, of a connection.
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
const secondsMax = 180_000;
const names = ["one", "two", "three"] as const;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];

  const allHealthy = (timeoutMs = 60_000) => healthy(members, timeoutMs);
  const leader = () => leaderOf(members);
  const others = (than: LabMember) => members.filter((member) => member !== than);
  const completed = { status: "completed" };

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/cluster`, image);
    members = await LabMember.bootAll(lab, names);
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  test(
    "init, two joins, and a database with a node on each host",
    async () => {
      const startMs = performance.now();
      await cluster(members);
      const [first, second] = members;
      if (!first || !second) throw new Error("no hosts");
      for (const member of members) {
        expect(await states(member)).toEqual({ one: "healthy", two: "healthy", three: "healthy" });
      }
      const joinedMs = performance.now();
      const spec = specOn(names);
      expect(await second.change("POST", "/v1/databases", { id: "shop", spec })).toMatchObject(
        completed,
      );
      const seconds = (ms: number) => (ms / 1_000).toFixed(1);
      console.log(
        `init and two joins: ${seconds(joinedMs - startMs)} s; database on three hosts: ${seconds(performance.now() - joinedMs)} s`,
      );
      for (const member of members) {
        expect(await query(member, "shop", "SELECT 1", first)).toBe("1");
      }
    },
    secondsMax,
  );

  test(
    "any host answers everything, at once after it was asked for",
    async () => {
      for (const member of members) {
        const id = `by-${member.host.name}`;
        const spec = specOn([member.host.name]);
        const { task, status_code } = await member.api("POST", "/v1/databases", { id, spec });
        expect(status_code).toBe(200);
        for (const other of members) {
          expect((await other.api("GET", `/v1/databases/${id}`)).status_code).toBe(200);
        }
        const [other] = others(member);
        expect(await other?.ended(task)).toMatchObject(completed);
        const path = `/v1/databases/${id}/tasks/${task.task_id}/log`;
        const logs = await Promise.all(members.map((each) => each.api("GET", path)));
        expect(new Set(logs.map(({ entries }) => entries.length)).size).toBe(1);
        expect(await other?.change("DELETE", `/v1/databases/${id}`)).toMatchObject(completed);
      }
    },
    secondsMax,
  );

  test(
    "a dead host is refused with its name, and keeps no other database waiting",
    async () => {
      const led = await leader();
      const [dead, living] = others(led);
      if (!dead || !living) throw new Error("no hosts");
      await dead.host.powerOff();
      const spec = specOn([led.host.name, living.host.name]);
      const made = await living.change("POST", "/v1/databases", { id: "apart", spec });
      expect(made).toMatchObject(completed);
      const refused = await living.api("POST", "/v1/databases", {
        id: "never",
        spec: specOn(names),
      });
      console.log(`refused in ${refused.seconds.toFixed(1)} s: ${refused.message}`);
      expect(refused).toMatchObject({ status_code: 400, name: "invalid_input" });
      expect(refused.message).toContain(`host ${dead.host.name}`);
      expect(refused.seconds).toBeLessThan(15);
      // A change that has to work on the dead host waits for it; others go on meanwhile.
      const stuck = await led.api("DELETE", "/v1/databases/shop", undefined);
      expect(await led.change("DELETE", "/v1/databases/apart")).toMatchObject(completed);
      await eventually(
        "the dead host is unreachable",
        async () => (await states(led))[dead.host.name] === "unreachable",
        60_000,
      );
      await dead.host.start();
      await dead.alive();
      await allHealthy();
      const task = stuck.task ? await led.ended(stuck.task, 120_000) : stuck;
      console.log(`delete with a dead host: ${task.status} ${task.error ?? ""}`);
      const { databases } = await led.api("GET", "/v1/databases");
      if (databases.some(({ id }: Body) => id === "shop")) {
        expect(await led.change("DELETE", "/v1/databases/shop?force=true")).toMatchObject(
          completed,
        );
      }
      expect(
        await led.change("POST", "/v1/databases", { id: "shop", spec: specOn(names) }),
      ).toMatchObject(completed);
    },
    secondsMax,
  );

  test(
    "the leader's power goes: the others answer, work goes on, and it comes back",
    async () => {
      const led = await leader();
      const [survivor, other] = others(led);
      if (!survivor || !other) throw new Error("no hosts");
      const startMs = performance.now();
      await led.host.powerOff();
      const answered = new Map<LabMember, number>();
      await eventually("both others answer", async () => {
        for (const member of [survivor, other]) {
          if (answered.has(member)) continue;
          const answer = await member.api("GET", "/v1/databases/shop", undefined, 5_000);
          if (answer.status_code === 200) answered.set(member, performance.now() - startMs);
          else expect([0, 503]).toContain(answer.status_code);
        }
        return answered.size === 2;
      });
      const slowest = Math.max(...answered.values()) / 1_000;
      console.log(`without answers after the leader's loss: ${slowest.toFixed(1)} s`);
      expect(slowest).toBeLessThan(3);
      expect(await query(survivor, "shop", "SELECT 1", other)).toBe("1");
      const workMs = performance.now();
      const spec = specOn([survivor.host.name, other.host.name]);
      expect(await other.change("POST", "/v1/databases", { id: "later", spec })).toMatchObject(
        completed,
      );
      console.log(`a database after it: ${((performance.now() - workMs) / 1_000).toFixed(1)} s`);
      await led.host.start();
      await led.alive();
      await allHealthy();
      await eventually(
        "its node of the database is back",
        async () => (await query(led, "shop", "SELECT 1", other).catch(() => "")) === "1",
        60_000,
      );
      expect(await led.change("DELETE", "/v1/databases/later")).toMatchObject(completed);
    },
    secondsMax,
  );

  test(
    "a host cut off from the majority says so, its database runs on, and it catches up",
    async () => {
      const led = await leader();
      for (const apart of [others(led)[0], led]) {
        if (!apart) throw new Error("no hosts");
        const [a, b] = others(apart);
        if (!a || !b) throw new Error("no hosts");
        const before = await query(apart, "shop", "SELECT pg_postmaster_start_time()");
        const { instances } = await apart.api("GET", "/v1/databases/shop");
        const here = instances.find((each: Body) => each.host_id === apart.host.name);
        await lab.cut(apart.host, a.host);
        await lab.cut(apart.host, b.host);
        const spec = specOn([a.host.name, b.host.name]);
        await eventually("the majority takes changes", async () => {
          const answer = await a.api("POST", "/v1/databases", { id: "major", spec }, 10_000);
          return answer.status_code === 200 || answer.name === "database_already_exists";
        });
        let refusedS = 0;
        await eventually("the minority refuses changes", async () => {
          const answer = await apart.api("POST", "/v1/databases", { id: "minor", spec }, 30_000);
          expect(answer.status_code).not.toBe(200);
          refusedS = answer.seconds;
          return answer.status_code === 503;
        });
        console.log(`a cut off host refuses a change in ${refusedS.toFixed(1)} s`);
        expect(refusedS).toBeLessThan(3);
        await eventually(
          "the majority's database is there",
          async () => (await b.api("GET", "/v1/databases/major")).state === "available",
          60_000,
        );
        const { stdout } = await apart.host.exec(
          [
            "psql",
            "-XAtc",
            "SELECT pg_postmaster_start_time()",
            `postgresql://admin@${here.connection_info.addresses[0]}:${here.connection_info.port}/shop`,
          ],
          { env: { PGPASSWORD: "s3cret-pass" } },
        );
        expect(stdout.trim()).toBe(before);
        await lab.heal();
        await eventually(
          "it shows what the majority made",
          async () => (await apart.api("GET", "/v1/databases/major")).state === "available",
        );
        expect((await apart.api("GET", "/v1/databases/minor")).status_code).toBe(404);
        expect(await apart.change("DELETE", "/v1/databases/major")).toMatchObject(completed);
        await allHealthy();
      }
    },
    secondsMax,
  );

  test(
    "without the cluster's certificate the ports between hosts do not answer",
    async () => {
      const [first] = members;
      if (!first) throw new Error("no hosts");
      const { stdout } = await first.host.exec([
        "bash",
        "-c",
        "ss -Hltn | awk '{print $4}' | grep -v 127.0.0.1 | grep '^10' | cut -d: -f2",
      ]);
      const internal: string[] = [];
      for (const port of stdout.trim().split("\n")) {
        const url = `https://${first.host.address}:${port}/`;
        const tls = { rejectUnauthorized: false };
        const answer = await fetch(url, { tls, signal: AbortSignal.timeout(3_000) }).catch(
          (thrown: unknown) => String(thrown),
        );
        if (typeof answer !== "string") throw new Error(`port ${port} answers ${answer.status}`);
        internal.push(port);
      }
      expect(internal.length).toBeGreaterThanOrEqual(4);
    },
    secondsMax,
  );
}
