// What can go wrong in a cluster, drawn at random: processes die, hosts lose power or stall, lines are cut or bad.
import type { Lab } from "../lab.ts";
import type { LabMember } from "../members.ts";
import type { Random } from "./random.ts";

/** One fault: it strikes, lasts a while, and ends. */
export interface Fault {
  readonly kind: string;
  /** What happens where and for how long. */
  readonly text: string;
  strike(): Promise<void>;
  /** After the time that it lasts: power comes back, lines are mended. Processes come back by themselves. */
  end(): Promise<void>;
  readonly lastsMs: number;
}

export interface Scene {
  readonly lab: Lab;
  readonly members: readonly LabMember[];
  readonly databaseId: string;
}

type Strike = Pick<Fault, "text" | "strike" | "end">;
type Draw = (scene: Scene, random: Random, seconds: string) => Strike;

const nothing = async () => undefined;

/** Kills processes of a host whose command line matches; none may be there yet. */
function killed(what: string, pattern: (scene: Scene) => string): Draw {
  return (scene, random) => {
    const { host } = random.pick(scene.members);
    return {
      text: `kill -9 of ${what} on ${host.name}`,
      strike: async () => {
        await host.exec(["pkill", "-KILL", "-f", pattern(scene)], { check: false });
      },
      end: nothing,
    };
  };
}

/** Cuts these hosts off from the others. */
function apart(count: (members: number) => number): Draw {
  return ({ lab, members }, random, seconds) => {
    const left = [...members];
    const alone = Array.from({ length: count(members.length) }, () => {
      const member = random.pick(left);
      left.splice(left.indexOf(member), 1);
      return member.host;
    });
    return {
      text: `${alone.map(({ name }) => name).join(" and ")} cut off for ${seconds} s`,
      strike: () => lab.partition(alone),
      end: () => lab.heal(),
    };
  };
}

const draws: Readonly<Record<string, Draw>> = {
  server: killed("the server", () => "^/usr/local/bin/pgherd server"),
  rqlited: killed("rqlited", () => "/bin/rqlited-"),
  keeper: killed("the keeper", ({ databaseId }) => `keeper --file.*${databaseId}-n`),
  postgres: killed("postgres", ({ databaseId }) => `/bin/postgres.*${databaseId}-n`),
  fencer: killed("the fencer", ({ databaseId }) => `fencer --file.*${databaseId}-n`),
  "every server": ({ members }) => ({
    text: "kill -9 of every server",
    strike: async () => {
      const kill = ["pkill", "-KILL", "-f", "^/usr/local/bin/pgherd server"];
      await Promise.all(members.map(({ host }) => host.exec(kill, { check: false })));
    },
    end: nothing,
  }),
  power: ({ members }, random, seconds) => {
    const { host } = random.pick(members);
    return {
      text: `power of ${host.name} off for ${seconds} s`,
      strike: () => host.powerOff(),
      end: () => host.start(),
    };
  },
  "all power": ({ members }, _random, seconds) => ({
    text: `power of every host off for ${seconds} s`,
    strike: async () => {
      await Promise.all(members.map(({ host }) => host.powerOff()));
    },
    end: async () => {
      await Promise.all(members.map(({ host }) => host.start()));
    },
  }),
  reboot: ({ members }, random) => {
    const { host } = random.pick(members);
    return { text: `reboot of ${host.name}`, strike: () => host.reboot(), end: nothing };
  },
  freeze: ({ members }, random, seconds) => {
    const { host } = random.pick(members);
    return {
      text: `${host.name} stalled for ${seconds} s`,
      strike: async () => host.freeze(),
      end: async () => host.thaw(),
    };
  },
  link: ({ lab, members }, random, seconds) => {
    const [a, b] = pair(members, random);
    return {
      text: `${a.name} and ${b.name} cut from each other for ${seconds} s`,
      strike: () => lab.cut(a, b),
      end: () => lab.heal(),
    };
  },
  "half a link": ({ lab, members }, random, seconds) => {
    const [a, b] = pair(members, random);
    return {
      text: `nothing from ${a.name} to ${b.name} for ${seconds} s`,
      strike: () => lab.cutOneWay(a, b),
      end: () => lab.heal(),
    };
  },
  "bad link": ({ lab, members }, random, seconds) => {
    const [a, b] = pair(members, random);
    const line = { delayMs: Math.round(random.between(20, 200)), lossPercent: 10 };
    return {
      text: `${line.delayMs} ms and ${line.lossPercent} % loss between ${a.name} and ${b.name} for ${seconds} s`,
      strike: () => lab.worsen(a, b, line),
      end: () => lab.heal(),
    };
  },
  minority: apart((members) => Math.floor((members - 1) / 2)),
  "no majority": ({ lab, members }, _random, seconds) => ({
    text: `every host cut off from every other for ${seconds} s`,
    strike: async () => {
      for (const { host } of members) await lab.partition([host]);
    },
    end: () => lab.heal(),
  }),
};

function pair(members: readonly LabMember[], random: Random) {
  const a = random.pick(members);
  const b = random.pick(members.filter((member) => member !== a));
  return [a.host, b.host] as const;
}

export const faultKinds: readonly string[] = Object.keys(draws);

/** Draws one fault of a random kind; every kind is as likely as any other. */
export function drawFault(scene: Scene, random: Random, kinds = faultKinds): Fault {
  const kind = random.pick(kinds);
  const draw = draws[kind];
  if (!draw) throw new Error(`no fault is called ${kind}: ${faultKinds.join(", ")}`);
  const lastsMs = Math.round(random.between(500, 12_000));
  const strike = draw(scene, random, (lastsMs / 1_000).toFixed(1));
  return { kind, ...strike, lastsMs: strike.end === nothing ? 0 : lastsMs };
}
