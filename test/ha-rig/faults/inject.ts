// Does a fault to a system, and gives back how to end it. Which host is hit is decided here, at the last moment.
import type { LabHost } from "../../lab/lab.ts";
import { ask } from "../facts.ts";
import type { ProcessKind, System } from "../system.ts";
import { Session } from "../workload/session.ts";
import { APP } from "../workload/statements.ts";
import { Subscriber } from "../workload/subscriber.ts";
import type { Fault, Links, Meddling, Role } from "./fault.ts";
import { find, type HostProcess, signal } from "./processes.ts";

const sessionsMax = 500;
const cancelEveryMs = 50;

export interface Injected {
  /** Hosts that were hit, for the report. */
  readonly hosts: readonly string[];
  /** What really happened, e.g. how many processes got the signal. */
  readonly note: string;
  /** Ends the fault; undefined when it is over by itself. */
  readonly undo: (() => Promise<void>) | undefined;
}

/** The world as a fault sees it. */
export interface Stage {
  readonly system: System;
  /** Name of the host that is primary by its REST API. */
  primary(): string | undefined;
}

export async function inject(fault: Fault, stage: Stage): Promise<Injected> {
  const { system } = stage;
  switch (fault.kind) {
    case "kill":
      return kill(system, await host(stage, fault.on), fault.what);
    case "stop":
      return stop(system, await host(stage, fault.on), fault.what);
    case "freeze":
      return freeze(await host(stage, fault.on));
    case "power-off":
      return powerOff(system, await hosts(stage, fault.on));
    case "reboot":
      return reboot(await host(stage, fault.on));
    case "partition":
      return partition(system, await host(stage, fault.on), fault.links);
    case "store-down":
      return storeDown(system, fault.members, fault.how);
    case "slow-link":
      return slowLink(system, await host(stage, fault.on), fault.delayMs);
    case "throttle":
      return throttle(await host(stage, fault.on), fault.percent);
    case "paused":
      return paused(fault.fault, stage);
    case "subscribed":
      return subscribed(fault.fault, stage);
    case "disk-full":
      return fillDisk(await host(stage, fault.on));
    case "meddle":
      return meddle(stage, fault.how);
    case "exhaust":
      return exhaust(system, await host(stage, "primary"));
    case "cancel-waits":
      return cancelWaits(system, await host(stage, "primary"));
    case "repeat":
      return repeat(fault.fault, fault.times, fault.everyMs, stage);
    case "switchover":
      return switchover(stage);
    case "clean-stop":
      return cleanStop(system, await host(stage, "primary"));
  }
}

/** The host that plays a role now. */
export async function host({ system, primary }: Stage, role: Role): Promise<LabHost> {
  const current = system.hosts.find(({ name }) => name === primary());
  if (!current) throw new Error("a fault needs a primary to begin with");
  const [other] = system.hosts.filter((each) => each !== current);
  if (!other) throw new Error("a fault needs a standby");
  switch (role) {
    case "primary":
      return current;
    case "standby":
      return other;
    case "sync-standby":
      return (await synchronousStandby(system, current)) ?? other;
    case "store-leader":
      return (await system.storeLeader()) ?? other;
  }
}

async function hosts(stage: Stage, roles: readonly Role[] | "all"): Promise<LabHost[]> {
  if (roles === "all") return [...stage.system.hosts];
  const found = new Set<LabHost>();
  for (const role of roles) found.add(await host(stage, role));
  return [...found];
}

async function synchronousStandby(system: System, primary: LabHost): Promise<LabHost | undefined> {
  const [row] = await ask(system, primary, (session) =>
    session.rows(
      "SELECT host(client_addr) AS address FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') LIMIT 1",
    ),
  );
  return system.hosts.find(({ address }) => address === row?.address);
}

const names = (hit: readonly LabHost[]): string[] => hit.map(({ name }) => name);
const listed = (processes: readonly HostProcess[]): string =>
  processes.map(({ pid, args }) => `${pid} ${args.slice(0, 60)}`).join("; ");

function targets(system: System, hit: LabHost, what: readonly ProcessKind[]): HostProcess[] {
  return what.flatMap((kind) => {
    const found = find(system, hit, kind);
    // One backend is enough to make the postmaster restart all of them.
    return kind === "backend" ? found.slice(0, 1) : found;
  });
}

function kill(system: System, hit: LabHost, what: readonly ProcessKind[]): Injected {
  const processes = targets(system, hit, what);
  signal(processes, "SIGKILL");
  return { hosts: names([hit]), note: `killed ${listed(processes) || "nothing"}`, undo: undefined };
}

function stop(system: System, hit: LabHost, what: readonly ProcessKind[]): Injected {
  const processes = targets(system, hit, what);
  signal(processes, "SIGSTOP");
  const undo = async () => {
    signal(processes, "SIGCONT");
  };
  return { hosts: names([hit]), note: `stopped ${listed(processes) || "nothing"}`, undo };
}

function freeze(hit: LabHost): Injected {
  hit.freeze();
  const undo = async () => hit.thaw();
  return { hosts: names([hit]), note: "", undo };
}

/** Nothing answers for a host without power, not even with a refusal: its line is dead as well. */
async function powerOff(system: System, hit: readonly LabHost[]): Promise<Injected> {
  await Promise.all(hit.map((each) => system.lab.pull(each)));
  await Promise.all(hit.map((each) => each.powerOff()));
  const undo = async () => {
    await system.lab.heal();
    await Promise.all(hit.map((each) => each.start()));
  };
  return { hosts: names(hit), note: "", undo };
}

async function reboot(hit: LabHost): Promise<Injected> {
  await hit.reboot();
  return { hosts: names([hit]), note: "", undo: undefined };
}

async function partition(system: System, hit: LabHost, links: Links): Promise<Injected> {
  const { lab } = system;
  const others = system.hosts.filter((each) => each !== hit);
  const [first] = others;
  switch (links) {
    case "alone":
      await lab.partition([hit]);
      break;
    case "send":
      for (const other of others) await lab.cutOneWay(hit, other);
      break;
    case "receive":
      for (const other of others) await lab.cutOneWay(other, hit);
      break;
    case "one-link":
      if (first) await lab.cut(hit, first);
      break;
    case "store":
      for (const other of others) await lab.cutPorts(hit, other, system.ports().store);
      break;
    case "replication":
      for (const other of others) await lab.cutPorts(hit, other, system.ports().postgres);
      break;
    case "clients":
      await lab.cut(lab.outside, hit);
      break;
  }
  return { hosts: names([hit]), note: "", undo: () => lab.heal() };
}

async function storeDown(
  system: System,
  members: "leader" | "majority" | "all",
  how: "kill" | "stop",
): Promise<Injected> {
  const leader = (await system.storeLeader()) ?? system.hosts[0];
  const rest = system.hosts.filter((each) => each !== leader);
  const counts = { leader: 0, majority: 1, all: rest.length };
  const hit = [leader, ...rest.slice(0, counts[members])].filter((each) => each !== undefined);
  if (how === "stop") {
    const processes = hit.flatMap((each) => find(system, each, "store"));
    signal(processes, "SIGSTOP");
    const undo = async () => {
      signal(processes, "SIGCONT");
    };
    return { hosts: names(hit), note: `stopped ${listed(processes)}`, undo };
  }
  const restart = await Promise.all(hit.map((each) => system.stopStore(each)));
  const undo = async () => {
    await Promise.all(restart.map((start) => start()));
  };
  return { hosts: names(hit), note: "", undo };
}

async function slowLink(system: System, hit: LabHost, delayMs: number): Promise<Injected> {
  const line = { delayMs, jitterMs: delayMs / 2, lossPercent: 5 };
  for (const other of system.hosts) {
    if (other !== hit) await system.lab.worsen(hit, other, line);
  }
  const undo = () => system.lab.heal();
  return { hosts: names([hit]), note: "", undo };
}

function throttle(hit: LabHost, percent: number): Injected {
  hit.throttle(percent);
  const undo = async () => hit.throttle(undefined);
  return { hosts: names([hit]), note: "", undo };
}

async function paused(fault: Fault, stage: Stage): Promise<Injected> {
  const before = await host(stage, "primary");
  await stage.system.pause();
  const injected = await inject(fault, stage);
  const undo = async () => {
    const now = stage.primary();
    await injected.undo?.();
    await stage.system.resume();
    if (now !== undefined && now !== before.name)
      throw new Error(`${now} became primary during a pause`);
  };
  return { ...injected, undo };
}

async function subscribed(fault: Fault, stage: Stage): Promise<Injected> {
  const subscriber = await Subscriber.start(stage.system, () => stage.primary());
  const injected = await inject(fault, stage).catch(async (thrown: unknown) => {
    await subscriber.stop().catch((second: unknown) => console.log(`the subscriber: ${second}`));
    throw thrown;
  });
  const undo = async () => {
    await injected.undo?.();
    await subscriber.finish();
  };
  return { ...injected, undo };
}

async function fillDisk(hit: LabHost): Promise<Injected> {
  hit.fillDisk("postgresql");
  const undo = async () => hit.freeDisk("postgresql");
  return { hosts: names([hit]), note: "", undo };
}

async function meddle(stage: Stage, how: Meddling): Promise<Injected> {
  const { system } = stage;
  const hit = await host(stage, how === "stop-primary" ? "primary" : "standby");
  switch (how) {
    case "promote-standby":
      await ask(system, hit, (session) => session.rows("SELECT pg_promote(false)"));
      break;
    case "stop-primary":
      signal(find(system, hit, "postmaster"), "SIGINT");
      break;
    case "remove-standby-data": {
      const clear = 'cd "$1" && find . -mindepth 1 -delete';
      await hit.exec(["bash", "-c", clear, "clear", system.dataDirectory(hit)], { check: false });
      break;
    }
  }
  return { hosts: names([hit]), note: "", undo: undefined };
}

async function exhaust(system: System, hit: LabHost): Promise<Injected> {
  const sessions: Session[] = [];
  let refusal = "";
  while (refusal === "" && sessions.length < sessionsMax) {
    try {
      sessions.push(await Session.open(system.endpoint(hit), { ...system.login, ...APP }, 5_000));
    } catch (thrown) {
      refusal = thrown instanceof Error ? thrown.message : String(thrown);
    }
  }
  const undo = async () => {
    for (const session of sessions) session.drop();
  };
  return { hosts: names([hit]), note: `${sessions.length} sessions, then: ${refusal}`, undo };
}

async function cancelWaits(system: System, hit: LabHost): Promise<Injected> {
  const session = await Session.open(system.endpoint(hit), system.login, 5_000);
  let cancelled = 0;
  let running = true;
  const loop = (async () => {
    while (running && session.usable) {
      const rows = await session.rows(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      cancelled += rows.length;
      await Bun.sleep(cancelEveryMs);
    }
  })();
  const undo = async () => {
    running = false;
    await loop;
    session.drop();
    console.log(`cancelled ${cancelled} waiting commits`);
  };
  return { hosts: names([hit]), note: "", undo };
}

/** Does a fault again and again, whether or not the system has recovered meanwhile. */
async function repeat(
  fault: Fault,
  times: number,
  everyMs: number,
  stage: Stage,
): Promise<Injected> {
  const hit = new Set<string>();
  let done = 0;
  for (let time = 0; time < times; time++) {
    if (stage.primary() !== undefined) {
      const injected = await inject(fault, stage);
      for (const name of injected.hosts) hit.add(name);
      done += 1;
      await Bun.sleep(everyMs / 2);
      await injected.undo?.();
    }
    await Bun.sleep(everyMs / 2);
  }
  return { hosts: [...hit], note: `${done} of ${times} times`, undo: undefined };
}

async function switchover(stage: Stage): Promise<Injected> {
  const from = await host(stage, "primary");
  const to = await host(stage, "sync-standby");
  await stage.system.switchover(from, to);
  return { hosts: names([from, to]), note: `${from.name} to ${to.name}`, undo: undefined };
}

async function cleanStop(system: System, hit: LabHost): Promise<Injected> {
  await system.cleanStop(hit);
  const undo = () => system.startAgain(hit);
  return { hosts: names([hit]), note: "", undo };
}
