// Hosts without a server in a cluster of three: a machine with only sshd and PostgreSQL runs a database, survives
// its own reboot and the loss of the member that made it, and leaves without a trace.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually, Lab } from "./lab.ts";
import { addMachine, hostTaskEnd, LabMachine, makeKey, stateOf } from "./machines.ts";
import { type Body, cluster, LabMember, specOn } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 300_000;
const completed = { status: "completed" };

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let members: readonly LabMember[];
  let far: LabMachine;

  const member = (at: number): LabMember => {
    const found = members[at];
    if (!found) throw new Error("no member");
    return found;
  };
  const seconds = (sinceMs: number) => `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
  const ask = async (text: string, through = member(1)): Promise<string> => {
    const { instances } = await through.api("GET", "/v1/databases/shop");
    const { addresses, port } = instances[0].connection_info;
    const url = `postgresql://admin:s3cret-pass@${addresses[0]}:${port}/shop?connect_timeout=5`;
    return far.shell(`psql -XAtc "${text}" "${url}"`);
  };
  const answersSql = (text: string, answer: string, through = member(1)) =>
    eventually(
      `${text} gives ${answer}`,
      async () => (await ask(text, through).catch(() => "")) === answer,
      90_000,
    );
  const available = (through: LabMember) =>
    eventually(
      "the database is available",
      async () => {
        const { state, instances } = await through.api("GET", "/v1/databases/shop");
        return state === "available" && instances[0]?.state === "available";
      },
      60_000,
    );
  const refusal = async (request: Body): Promise<string[]> => {
    const answer = await member(0).api("POST", "/v1/hosts", request, 120_000);
    if (answer.status_code !== 400) throw new Error(JSON.stringify(answer));
    return answer.errors.map(({ path, code }: Body) => `${path} ${code}`.trim());
  };

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/ssh`, image);
    members = await LabMember.bootAll(lab, ["one", "two", "three"]);
    await cluster(members);
    far = await LabMachine.boot(lab, "far");
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  test(
    "mistakes are refused with their reason, and leave nothing behind",
    async () => {
      const stranger = await makeKey(join(far.host.directory, "stranger"));
      const wrong = (ssh: Body, more: Body = {}) => refusal(far.request(ssh, more));
      expect(await wrong({ private_key: stranger.privateText })).toEqual([
        "ssh.private_key login_refused",
      ]);
      expect(await wrong({ host_key: stranger.publicText.trim() })).toEqual([
        "ssh.host_key wrong_host_key",
      ]);
      expect(await wrong({ user: "nobody-here", sudo: false })).toEqual([
        "ssh.private_key login_refused",
      ]);
      await far.shell(
        "useradd -m -s /bin/bash clerk && usermod -p '*' clerk && cp -r /root/.ssh /home/clerk/ && " +
          "chown -R clerk /home/clerk/.ssh && echo 'clerk ALL=(ALL) ALL' >/etc/sudoers.d/clerk",
      );
      expect(await wrong({ user: "clerk" })).toEqual(["ssh.user sudo_refused"]);
      expect(await wrong({ port: 23 })).toContain("ssh.address host_unreachable");
      await far.shell("mv /usr/lib/postgresql /usr/lib/postgresql.away");
      expect(await wrong({})).toEqual(["no_postgres"]);
      await far.shell("mv /usr/lib/postgresql.away /usr/lib/postgresql");
      await far.shell("mkdir /small && mount -t tmpfs -o size=600m tmpfs /small");
      await far.shell("head -c 580M /dev/zero >/small/filler");
      expect(await wrong({}, { data_dir: "/small/pgherd" })).toEqual(["disk_full", "disk_full"]);
      await far.shell("umount /small && rmdir /small");
      const { address } = member(2).host;
      await far.shell(
        `nft add table ip t && nft add chain ip t o '{ type filter hook output priority 0; }' && nft add rule ip t o ip daddr ${address} ct state new drop`,
      );
      expect(await wrong({})).toEqual(["unreachable_from_host"]);
      await far.shell("nft delete table ip t");
      await lab.cut(far.host, member(2).host);
      expect(await wrong({})).toEqual([
        "unreachable_from_host",
        "ssh.address unreachable_from_member",
      ]);
      await lab.heal();
      expect(await far.traces()).toBe("");
    },
    secondsMax,
  );

  test(
    "a database is created on it from the cluster",
    async () => {
      const addedMs = performance.now();
      expect(await addMachine(member(0), far.request())).toMatchObject(completed);
      for (const each of members) expect(await stateOf(each, "far")).toBe("healthy");
      console.log(`added and healthy everywhere: ${seconds(addedMs)}`);
      const createdMs = performance.now();
      const spec = specOn(["far"]);
      expect(await member(0).change("POST", "/v1/databases", { id: "shop", spec })).toMatchObject(
        completed,
      );
      console.log(`database: ${seconds(createdMs)}`);
      await answersSql("SELECT 1", "1");
      await ask("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
      expect(
        await far.shell("systemctl is-enabled 'pgherd-fencer-shop-n1-*' | sort -u || true"),
      ).not.toBe("disabled");
    },
    secondsMax,
  );

  test(
    "after a reboot of the machine its database comes back by itself",
    async () => {
      const rebootMs = performance.now();
      await far.host.reboot();
      await answersSql("SELECT n FROM kept", "7");
      console.log(`reboot until it answers: ${seconds(rebootMs)}`);
      await available(member(1));
      await far.host.powerOff();
      await far.host.start();
      await answersSql("SELECT n FROM kept", "7");
      await available(member(1));
    },
    secondsMax,
  );

  test(
    "the member that created it is lost: it runs on, and another one manages it",
    async () => {
      const startedAt = await ask("SELECT pg_postmaster_start_time()");
      const lostMs = performance.now();
      await member(0).host.powerOff();
      expect(await ask("SELECT n FROM kept")).toBe("7");
      const { spec } = await member(1).api("GET", "/v1/databases/shop");
      const changed = {
        ...spec,
        postgresql_conf: { ...spec.postgresql_conf, work_mem: "5MB" },
        database_users: [{ ...spec.database_users[0], password: "s3cret-pass" }],
      };
      await eventually(
        "the others take changes",
        async () =>
          (await member(1).api("GET", "/v1/hosts/far", undefined, 5_000)).status_code === 200,
      );
      expect(await member(1).change("POST", "/v1/databases/shop", { spec: changed })).toMatchObject(
        completed,
      );
      console.log(
        `loss of the member until another one has changed the database: ${seconds(lostMs)}`,
      );
      expect(await ask("SHOW work_mem")).toBe("5MB");
      expect(await ask("SELECT pg_postmaster_start_time()")).toBe(startedAt);
      await eventually(
        "the machine is healthy without that member",
        async () => (await stateOf(member(1), "far")) === "healthy",
        60_000,
      );
      await far.host.reboot();
      await answersSql("SELECT n FROM kept", "7");
      await available(member(1));
      await member(0).host.start();
      await member(0).alive();
    },
    secondsMax,
  );

  test(
    "a machine that is frozen is unreachable, and holds up nothing else",
    async () => {
      const sound = await member(1).api("GET", "/v1/hosts/far/doctor");
      expect(sound).toMatchObject({ healthy: true });
      far.host.freeze();
      const frozenMs = performance.now();
      const spec = specOn(["two"]);
      expect(await member(1).change("POST", "/v1/databases", { id: "apart", spec })).toMatchObject(
        completed,
      );
      await eventually(
        "it is unreachable",
        async () => (await stateOf(member(1), "far")) === "unreachable",
        60_000,
      );
      console.log(`frozen until unreachable: ${seconds(frozenMs)}`);
      expect(await member(1).change("DELETE", "/v1/databases/apart")).toMatchObject(completed);
      const ill = await member(1).api("GET", "/v1/hosts/far/doctor", undefined, 120_000);
      far.host.thaw();
      expect(ill.findings.map(({ code }: Body) => code)).toEqual(
        expect.arrayContaining(["unreachable", "host_unreachable"]),
      );
      console.log(`the doctor looked at it for ${ill.seconds.toFixed(1)} s`);
      const stuck = await member(1).api("DELETE", "/v1/hosts/far");
      expect(stuck.status_code).toBe(400);
      await eventually(
        "it is healthy again",
        async () => (await stateOf(member(1), "far")) === "healthy",
        60_000,
      );
      await answersSql("SELECT n FROM kept", "7");
    },
    secondsMax,
  );

  test(
    "removed, it has no trace of pgherd",
    async () => {
      expect(await member(1).change("DELETE", "/v1/databases/shop")).toMatchObject(completed);
      const { task } = await member(1).api("DELETE", "/v1/hosts/far");
      expect(await hostTaskEnd(member(1), task)).toMatchObject(completed);
      expect((await member(2).api("GET", "/v1/hosts/far")).status_code).toBe(404);
      expect(await far.traces()).toBe("");
    },
    secondsMax,
  );

  test(
    "without service units: the leader starts it again after a boot; given up with force, it is clean",
    async () => {
      const request = far.request({ host_key: "learn" }, { service_units: false });
      expect(await addMachine(member(1), request)).toMatchObject(completed);
      const spec = specOn(["far"]);
      expect(await member(1).change("POST", "/v1/databases", { id: "shop", spec })).toMatchObject(
        completed,
      );
      await ask("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
      expect(await far.shell("ls /etc/systemd/system | grep pgherd || true")).toBe("");
      const rebootMs = performance.now();
      await far.host.reboot();
      await answersSql("SELECT n FROM kept", "7");
      console.log(`reboot without units until it answers: ${seconds(rebootMs)}`);
      const { task } = await member(1).api("DELETE", "/v1/hosts/far?force=true");
      expect(await hostTaskEnd(member(1), task)).toMatchObject(completed);
      expect(await far.traces()).toBe("");
      expect((await member(1).api("GET", "/v1/databases/shop")).status_code).toBe(404);
    },
    secondsMax,
  );

  test(
    "a machine that is gone is forgotten with force, and what stays there is told",
    async () => {
      expect(await addMachine(member(1), far.request())).toMatchObject(completed);
      await far.host.powerOff();
      const tried = await member(1).api("DELETE", "/v1/hosts/far");
      const failed = await hostTaskEnd(member(1), tried.task);
      expect(failed.status).toBe("failed");
      expect(failed.error).toContain("with force it is forgotten as it is");
      const { task } = await member(1).api("DELETE", "/v1/hosts/far?force=true");
      expect(await hostTaskEnd(member(1), task)).toMatchObject(completed);
      const path = `/v1/hosts/far/tasks/${task.task_id}/logs`;
      const { entries } = await member(1).api("GET", path);
      const told = entries.find(({ fields }: Body) => fields?.stays !== undefined);
      expect(told.fields.stays).toContain("/var/lib/pgherd");
      await far.host.start();
    },
    secondsMax,
  );

  test(
    "a bare machine becomes a member",
    async () => {
      const bare = await LabMachine.boot(lab, "bare");
      const joinMs = performance.now();
      const request = bare.request({}, { join: { voter: false } });
      expect(await addMachine(member(1), request)).toMatchObject(completed);
      console.log(`bare machine until member: ${seconds(joinMs)}`);
      for (const each of members) expect(await stateOf(each, "bare")).toBe("healthy");
      const spec = specOn(["bare"]);
      const made = await member(2).change("POST", "/v1/databases", { id: "mine", spec });
      expect(made).toMatchObject(completed);
      const { ssh, etcd_mode } = await member(0).api("GET", "/v1/hosts/bare");
      expect({ ssh, etcd_mode }).toEqual({ ssh: undefined, etcd_mode: "client" });
      const { tokens } = await member(0).api("GET", "/v1/cluster/join-tokens");
      expect(tokens.filter(({ state }: Body) => state === "valid")).toHaveLength(1);
    },
    secondsMax,
  );
}
