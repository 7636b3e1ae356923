// The lab itself: hosts boot and talk; every fault that it offers does what it says, and ends.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";
import { eventually, Lab, type LabHost } from "./lab.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 60_000;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let one: LabHost;
  let two: LabHost;
  let three: LabHost;

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/self`, image);
    one = await lab.host("one");
    two = await lab.host("two", { ownClock: true });
    three = await lab.host("three", { disks: { postgresql: "64m" } });
    await Promise.all([one.start(), two.start(), three.start()]);
  }, secondsMax);
  afterAll(() => lab.down(), secondsMax);

  const reaches = async (from: LabHost, to: LabHost): Promise<boolean> =>
    (await from.exec(["ping", "-c1", "-W1", to.address], { check: false })).exitCode === 0;
  /** Milliseconds of each of some round trips; those lost are missing. */
  const roundTrips = async (from: LabHost, to: LabHost, count: number): Promise<number[]> => {
    const { stdout } = await from.exec(["ping", `-c${count}`, "-i0.02", "-W1", to.address], {
      check: false,
    });
    return [...stdout.matchAll(/time=([\d.]+)/g)].map(([, time]) => Number(time));
  };
  const wallSeconds = async (host: LabHost): Promise<number> =>
    Number((await host.exec(["date", "+%s"])).stdout);

  test("hosts have names, addresses and PostgreSQL of several majors", async () => {
    expect((await one.exec(["hostname"])).stdout.trim()).toBe("one");
    expect((await one.exec(["ls", "/usr/lib/postgresql"])).stdout.split("\n")).toContain("17");
    expect(await reaches(one, two)).toBe(true);
  });

  test("a one-way cut, a partition, and their end", async () => {
    await lab.cutOneWay(one, two);
    expect(await reaches(one, two)).toBe(false);
    await lab.heal();
    expect(await reaches(one, two)).toBe(true);
    await lab.partition([one, two]);
    expect(await reaches(one, two)).toBe(true);
    expect(await reaches(one, three)).toBe(false);
    expect(await reaches(three, two)).toBe(false);
    await lab.heal();
    expect(await reaches(three, two)).toBe(true);
  });

  test("one kind of traffic is cut, and a host from this machine alone", async () => {
    const read = ["timeout", "2", "bash", "-c", `head -c 3 < /dev/tcp/${two.address}/22`];
    const greeted = async (from: LabHost | undefined): Promise<boolean> => {
      const answer = from ? from.exec(read, { check: false }) : run(read, { check: false });
      return (await answer).stdout === "SSH";
    };
    const greetedAgain = (from?: LabHost) => eventually("the greeting of two", () => greeted(from));
    await greetedAgain(one);
    await lab.cutPorts(two, one, [22]);
    expect(await greeted(one)).toBe(false);
    await greetedAgain(three);
    expect(await reaches(one, two)).toBe(true);
    await lab.heal();
    await greetedAgain(one);
    await lab.cut(lab.outside, two);
    expect(await greeted(undefined)).toBe(false);
    expect(await reaches(one, two)).toBe(true);
    await lab.heal();
    await greetedAgain();
  });

  test("a pulled cable is seen by the host", async () => {
    await lab.pull(one);
    expect((await one.exec(["ip", "link", "show", "eth0"])).stdout).toContain("NO-CARRIER");
    expect(await reaches(two, one)).toBe(false);
    await lab.heal();
    await eventually("one is back", () => reaches(two, one));
  });

  test("a slow line is as slow, and a lossy one as lossy, as it was asked to be", async () => {
    await lab.worsen(one, two, { delayMs: 30 });
    const slow = await roundTrips(one, two, 5);
    expect(slow).toHaveLength(5);
    expect(Math.min(...slow)).toBeGreaterThan(58);
    expect((await roundTrips(one, three, 3)).some((time) => time < 20)).toBe(true);
    await lab.heal();
    expect(Math.min(...(await roundTrips(one, two, 5)))).toBeLessThan(20);
    await lab.worsenOneWay(one, two, { lossPercent: 50 });
    const kept = (await roundTrips(one, two, 60)).length;
    expect(kept).toBeGreaterThan(10);
    expect(kept).toBeLessThan(50);
    await lab.heal();
    expect(await roundTrips(one, two, 10)).toHaveLength(10);
  });

  test("a narrow line bounds what comes through", async () => {
    const server = Bun.serve({
      hostname: `${lab.subnet}.1`,
      port: 0,
      fetch: () => new Response(new Uint8Array(500_000)),
    });
    const seconds = async (): Promise<number> => {
      const curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{time_total}", server.url.href];
      return Number((await one.exec(curl)).stdout);
    };
    expect(await seconds()).toBeLessThan(1);
    await lab.narrow(one, "2mbit");
    expect(await seconds()).toBeGreaterThan(1.5);
    await lab.heal();
    expect(await seconds()).toBeLessThan(1);
    await server.stop(true);
  });

  test("a stalled host answers nobody and goes on afterwards", async () => {
    one.freeze();
    // The kernel still answers pings; programs do not.
    const banner = () =>
      run(["bash", "-c", `timeout 1 head -c 3 < /dev/tcp/${one.address}/22`], { check: false });
    expect((await banner()).stdout).toBe("");
    one.thaw();
    expect((await banner()).stdout).toBe("SSH");
  });

  test("a full disk refuses writes until there is room again", async () => {
    const write = () =>
      three.exec(["dd", "if=/dev/zero", "of=/var/lib/postgresql/some", "bs=64k", "count=16"], {
        check: false,
      });
    three.fillDisk("postgresql");
    expect((await write()).stderr).toContain("No space left on device");
    expect(() => one.fillDisk("postgresql")).toThrow("no size");
    three.freeDisk("postgresql");
    expect((await write()).exitCode).toBe(0);
    await three.powerOff();
    await three.start();
    expect((await three.exec(["ls", "/var/lib/postgresql"])).stdout.trim()).toBe("some");
  });

  test("one host's wall clock is moved, its monotonic one and the others' are not", async () => {
    const uptime = async () =>
      Number((await two.exec(["cat", "/proc/uptime"])).stdout.split(" ")[0]);
    expect(Math.abs((await wallSeconds(two)) - Date.now() / 1_000)).toBeLessThan(2);
    const before = await uptime();
    two.shiftClock(600);
    expect((await wallSeconds(two)) - Date.now() / 1_000).toBeGreaterThan(595);
    expect((await wallSeconds(one)) - Date.now() / 1_000).toBeLessThan(2);
    expect((await uptime()) - before).toBeLessThan(60);
    // Services see it too, those that run already included.
    await two.exec([
      "systemd-run",
      "--unit=watch",
      "bash",
      "-c",
      "while sleep 0.1; do date +%s >/run/now; done",
    ]);
    const seen = () =>
      Number(readFileSync(`/proc/${two.pid()}/root/run/now`, "utf8")) - Date.now() / 1_000;
    await eventually("a service is 10 minutes ahead", async () => {
      const there = await two.exec(["test", "-s", "/run/now"], { check: false });
      return there.exitCode === 0 && seen() > 595;
    });
    two.shiftClock(-600);
    await eventually("it is 10 minutes behind", () => seen() < -595);
    two.shiftClock(0);
    await eventually("it is right again", () => Math.abs(seen()) < 5);
    await two.exec(["systemctl", "stop", "watch"]);
    expect(() => one.shiftClock(1)).toThrow("no clock of its own");
  });

  test("reboot gives a new boot id, power loss ends everything", async () => {
    const before = (await one.exec(["cat", "/proc/sys/kernel/random/boot_id"])).stdout;
    await one.reboot();
    expect((await one.exec(["cat", "/proc/sys/kernel/random/boot_id"])).stdout).not.toBe(before);
    await two.powerOff();
    expect(two.alive()).toBe(false);
    await two.start();
    expect((await two.exec(["systemctl", "is-active", "ssh"])).stdout.trim()).toBe("active");
    two.freeze();
    await two.powerOff();
    expect(two.alive()).toBe(false);
    await two.start();
  });

  test(
    "a second lab beside it has the same names and addresses, and a kill of its box leaves nothing",
    async () => {
      const own = (await one.exec(["cat", "/etc/machine-id"])).stdout.trim();
      const box = Bun.spawn(
        [
          join(import.meta.dir, "box.sh"),
          ...[process.execPath, join(import.meta.dir, "beside.ts"), `${directory}/beside`, image],
        ],
        { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
      );
      const reader = box.stdout.getReader();
      const other = new TextDecoder().decode((await reader.read()).value).trim();
      expect(other).toMatch(/^[0-9a-f]{32}$/);
      expect(other).not.toBe(own);
      expect((await one.exec(["cat", "/etc/machine-id"])).stdout.trim()).toBe(own);
      expect(await reaches(two, one)).toBe(true);
      const running = async () =>
        (await run(["pgrep", "-fc", `${directory}/beside`], { check: false })).stdout.trim();
      const inside = Number(readFileSync(`${directory}/beside/one/pid`, "utf8"));
      expect(inside).toBeGreaterThan(1);
      expect(await running()).not.toBe("0");
      box.kill("SIGKILL");
      await box.exited;
      await eventually("nothing of it runs", async () => (await running()) === "0");
      expect(await reaches(two, one)).toBe(true);
    },
    secondsMax,
  );
}
