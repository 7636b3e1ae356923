// The lab itself: a host boots, talks, is cut off, loses power, reboots.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Lab, type LabHost } from "./lab.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab;
  let one: LabHost;
  let two: LabHost;

  beforeAll(async () => {
    lab = await Lab.up(`${directory}/self`, image);
    [one, two] = [await lab.host("one"), await lab.host("two")];
    await Promise.all([one.start(), two.start()]);
  });
  afterAll(() => lab.down());

  test("hosts have names, addresses and PostgreSQL of several majors", async () => {
    expect((await one.exec(["hostname"])).stdout.trim()).toBe("one");
    expect((await one.exec(["ls", "/usr/lib/postgresql"])).stdout.split("\n")).toContain("17");
    expect((await one.exec(["ping", "-c1", "-W2", two.address])).exitCode).toBe(0);
  });

  test("a one-way cut and its end", async () => {
    await lab.cutOneWay(one, two);
    expect(
      (await one.exec(["ping", "-c1", "-W1", two.address], { check: false })).exitCode,
    ).not.toBe(0);
    await lab.heal();
    expect((await one.exec(["ping", "-c1", "-W2", two.address])).exitCode).toBe(0);
  });

  test("reboot gives a new boot id, power loss ends everything", async () => {
    const before = (await one.exec(["cat", "/proc/sys/kernel/random/boot_id"])).stdout;
    await one.reboot();
    expect((await one.exec(["cat", "/proc/sys/kernel/random/boot_id"])).stdout).not.toBe(before);
    await two.powerOff();
    expect(two.alive()).toBe(false);
    await two.start();
    expect((await two.exec(["systemctl", "is-active", "ssh"])).stdout.trim()).toBe("active");
  });
}
