// Everything that goes wrong: processes freeze and die, hosts lose power, links are cut one way or both, the store
// vanishes, messages come twice or late, clocks of the wall jump, users switch over, fail over, pause and reconfigure.
import type { Rng } from "../../src/base/rng.ts";
import type { ProcessName } from "./host.ts";
import { pick, redrawTimes } from "./scenario.ts";
import type { Member, World } from "./world.ts";

type Fault = (world: World, at: Member, rng: Rng) => void;

const FAULTS: readonly (readonly [weight: number, name: string, fault: Fault])[] = [
  [4, "postmaster dies", (_, { postgres }) => postgres.kill("killed")],
  [3, "keeper dies", killKeeper],
  [3, "keeper freezes", freeze("keeper")],
  [2, "fencer freezes", freeze("fencer")],
  [2, "PostgreSQL freezes", freeze("postgres")],
  [2, "host freezes", freezeHost],
  [4, "power is lost", losePower],
  [2, "host reboots", reboot],
  [4, "host is cut off", isolate],
  [2, "host is cut off from the store", cutFromStore],
  [2, "host hears the store late, then is cut off", hearLate],
  [2, "one direction of a link is cut", cutOneWay],
  [2, "link is cut", cutLink],
  [2, "store is gone", loseStore],
  [3, "weather", storm],
  [3, "switchover", switchover],
  [1, "failover", failover],
  [1, "pause", pause],
  [1, "restart", restart],
  [1, "reinitialize", reinitialize],
  [1, "rewind", askRewind],
  [1, "other times", reconfigure],
  [1, "wall clock jumps", jump],
  [1, "waits are cancelled", (_, { postgres }) => postgres.cancelWaits()],
  [1, "next promotion hangs", hang],
];

const total = FAULTS.reduce((sum, [weight]) => sum + weight, 0);

export class Nemesis {
  readonly #world: World;
  readonly #rng: Rng;
  active = true;

  constructor(world: World, rng: Rng) {
    this.#world = world;
    this.#rng = rng;
    // The node comes into being first, with little in its way.
    world.schedule.after(rng.int(4_000, 12_000), () => this.#strike());
  }

  #strike(): void {
    if (!this.active) return;
    const { rng } = { rng: this.#rng };
    const [, name, fault] = draw(rng);
    const at = pick(rng, this.#world.nodes);
    this.#world.note(`FAULT ${name} at ${at.id}`);
    fault(this.#world, at, rng);
    const pauseMs = rng.next() < 0.3 ? rng.int(0, 300) : rng.int(1_000, 15_000);
    this.#world.schedule.after(pauseMs, () => this.#strike());
  }

  /** Everything that can be put right is. */
  heal(): void {
    this.active = false;
    const world = this.#world;
    world.note("HEAL");
    world.network.heal();
    Object.assign(world.network.weather, { lost: 0, doubled: 0, late: 0 });
    world.store.up = true;
    for (const { payload, id } of world.store.state.intents) {
      if (payload.kind === "pause") world.store.closeIntent(id);
    }
    for (const member of world.nodes) {
      if (!member.host.up) powerOn(member);
      thaw(world, member);
      if (!member.keeper.alive) member.keeper.start();
      member.keeper.leavingSinceMs = null;
    }
  }
}

function draw(rng: Rng): (typeof FAULTS)[number] {
  let left = rng.next() * total;
  for (const fault of FAULTS) {
    left -= fault[0];
    if (left < 0) return fault;
  }
  return pick(rng, FAULTS);
}

/** Mostly short, sometimes longer than any lease. */
function duration(rng: Rng): number {
  return rng.next() < 0.5 ? rng.int(100, 4_000) : longerThanLeases(rng);
}

function longerThanLeases(rng: Rng): number {
  return rng.int(4_000, 40_000);
}

function killKeeper(world: World, { host, keeper }: Member, rng: Rng): void {
  if (!keeper.alive) return;
  keeper.crash();
  const { boots } = host;
  world.schedule.after(rng.int(200, 5_000), () => {
    if (host.up && boots === host.boots && !keeper.alive) keeper.start();
  });
}

function freeze(process: ProcessName): Fault {
  return (world, member, rng) => {
    member.host.stopped.add(process);
    world.schedule.after(duration(rng), () => thaw(world, member, process));
  };
}

function freezeHost(world: World, member: Member, rng: Rng): void {
  const { host } = member;
  host.frozen = true;
  world.schedule.after(duration(rng), () => thaw(world, member));
}

function thaw(world: World, { host }: Member, process?: ProcessName): void {
  if (process) host.stopped.delete(process);
  else {
    if (host.frozen) host.thawedAtMs = world.schedule.nowMs;
    host.frozen = false;
    host.stopped.clear();
  }
  host.resume((items) => shuffled(items, world.rng));
}

function shuffled<T>(items: T[], rng: Rng): T[] {
  return items
    .map((item) => ({ item, key: rng.next() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function losePower(world: World, member: Member, rng: Rng): void {
  powerOff(member);
  world.schedule.after(duration(rng), () => powerOn(member));
}

function powerOff({ host, keeper, postgres }: Member): void {
  if (!host.up) return;
  keeper.crash();
  postgres.powerOff();
  host.powerOff();
}

function powerOn({ host, keeper }: Member): void {
  if (host.up) return;
  host.powerOn();
  keeper.leavingSinceMs = null;
  keeper.start();
}

/** In order: the keeper is told, and has some time. */
function reboot(world: World, member: Member, rng: Rng): void {
  const { keeper, host } = member;
  if (!keeper.alive) return;
  keeper.leavingSinceMs = keeper.nowMs;
  const { boots } = host;
  world.schedule.after(rng.int(3_000, 10_000), () => {
    if (boots === host.boots) losePower(world, member, rng);
  });
}

function isolate(world: World, { id }: Member, rng: Rng, ms = duration(rng)): void {
  for (const other of ["store", ...world.nodes.map((node) => node.id)]) {
    if (other === id) continue;
    world.network.cut(id, other);
    world.network.cut(other, id);
  }
  healLater(world, ms);
}

function cutFromStore(world: World, { id }: Member, rng: Rng): void {
  world.network.cut(id, "store");
  if (rng.next() < 0.5) world.network.cut("store", id);
  healLater(world, duration(rng));
}

/** Of renewals that the store has long had: whoever counts from the answer believes in a lease that is over. */
function hearLate(world: World, member: Member, rng: Rng): void {
  const { network, schedule } = world;
  network.cut("store", member.id);
  schedule.after(rng.int(1_000, 9_000), () => {
    network.mend("store", member.id);
    schedule.after(rng.int(20, 1_000), () => isolate(world, member, rng, longerThanLeases(rng)));
  });
}

function cutOneWay(world: World, { id }: Member, rng: Rng): void {
  world.network.cut(id, pick(rng, ["store", ...world.nodes.map((node) => node.id)]));
  healLater(world, duration(rng));
}

function cutLink(world: World, { id }: Member, rng: Rng): void {
  const other = pick(rng, world.nodes).id;
  world.network.cut(id, other);
  world.network.cut(other, id);
  healLater(world, duration(rng));
}

function healLater(world: World, ms: number): void {
  world.schedule.after(ms, () => world.network.heal());
}

function loseStore(world: World, _: Member, rng: Rng): void {
  world.store.up = false;
  world.schedule.after(duration(rng), () => {
    world.store.up = true;
  });
}

function storm(world: World, _: Member, rng: Rng): void {
  const { weather } = world.network;
  weather.lost = rng.next() * 0.4;
  weather.doubled = rng.next() * 0.3;
  weather.late = rng.next() * 0.1;
  world.schedule.after(duration(rng), () =>
    Object.assign(weather, { lost: 0, doubled: 0, late: 0 }),
  );
}

function open(world: World, kind: string): boolean {
  return world.store.state.intents.some(({ payload }) => payload.kind === kind);
}

function switchover(world: World, { id }: Member, rng: Rng): void {
  if (open(world, "switchover") || open(world, "failover")) return;
  const to = rng.next() < 0.5 ? null : id;
  const expires = world.wallMs() + 60_000;
  world.store.addIntent({
    id: world.nonce(),
    payload: { kind: "switchover", from: null, to },
    state: "pending",
    not_before_ms: null,
    expires_at_ms: expires,
  });
}

function failover(world: World, { id }: Member): void {
  if (open(world, "switchover") || open(world, "failover")) return;
  world.store.addIntent({
    id: world.nonce(),
    payload: { kind: "failover", to: id },
    state: "pending",
    not_before_ms: null,
    expires_at_ms: world.wallMs() + 30_000,
  });
}

function pause(world: World, _: Member, rng: Rng): void {
  if (open(world, "pause")) return;
  const id = world.nonce();
  const payload = { kind: "pause" } as const;
  world.store.addIntent({
    id,
    payload,
    state: "pending",
    not_before_ms: null,
    expires_at_ms: null,
  });
  world.schedule.after(duration(rng), () => world.store.closeIntent(id));
}

function restart(world: World, { id }: Member): void {
  const payload = { kind: "restart", instance_id: id, reason: "asked" } as const;
  const common = { state: "pending", not_before_ms: null, expires_at_ms: null } as const;
  world.store.addIntent({ id: world.nonce(), payload, ...common });
}

function reinitialize(world: World, { id, postgres }: Member, rng: Rng): void {
  if (!postgres.standby) return;
  const payload = { kind: "reinitialize", instance_id: id, from: null } as const;
  const intent = world.nonce();
  const common = { state: "pending", not_before_ms: null, expires_at_ms: null } as const;
  world.store.addIntent({ id: intent, payload, ...common });
  world.schedule.after(rng.int(500, 3_000), () => world.store.closeIntent(intent));
}

function askRewind(world: World, { id, postgres }: Member): void {
  if (!postgres.standby) return;
  const payload = { kind: "rewind", instance_id: id } as const;
  const common = { state: "pending", not_before_ms: null, expires_at_ms: null } as const;
  world.store.addIntent({ id: world.nonce(), payload, ...common });
}

function reconfigure(world: World, _: Member, rng: Rng): void {
  world.current = redrawTimes(rng, world.current);
}

function jump(world: World, _: Member, rng: Rng): void {
  world.wallShiftMs += rng.int(-86_400_000, 86_400_000);
}

function hang(_: World, { postgres }: Member): void {
  postgres.hangs = true;
}
