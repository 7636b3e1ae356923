// Which port each instance of a spec gets: fixed ones as asked, random ones once and then always the same.
import { type Diagnostic, fail, ok, type Result } from "../base/result.ts";
import type { Rng } from "../base/rng.ts";
import type { HostRecord } from "../spec/host.ts";
import { instanceId } from "../spec/ids.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { PortPurpose, TakenPort } from "../store/ports.ts";

export interface AllocationInput {
  readonly databaseId: string;
  readonly nodes: readonly ResolvedNode[];
  readonly hosts: readonly HostRecord[];
  /** Ports taken on these hosts by any database. */
  readonly taken: readonly TakenPort[];
  /** Ports that something listens on, by host id. */
  readonly listening: ReadonlyMap<string, ReadonlySet<number>>;
  /** Port in use by `<instance id>/<purpose>`. */
  readonly current: ReadonlyMap<string, number>;
  readonly rng: Rng;
}

/** One port that an instance of a spec wants; 0 = a random one. */
export interface WantedPort {
  /** Field of the spec. */
  readonly path: string;
  readonly nodeName: string;
  readonly hostId: string;
  readonly instanceId: string;
  readonly purpose: PortPurpose;
  readonly port: number;
}

/** Every port that the instances of a spec want. */
export function wantedPorts(
  databaseId: string,
  nodes: readonly ResolvedNode[],
): readonly WantedPort[] {
  return nodes.flatMap((node, index) =>
    node.hostIds.flatMap((hostId) => {
      const of = {
        nodeName: node.name,
        hostId,
        instanceId: instanceId(databaseId, node.name, hostId),
      };
      const ports: WantedPort[] = [];
      if (node.port !== undefined) {
        ports.push({ ...of, path: `nodes[${index}].port`, purpose: "postgres", port: node.port });
      }
      if (node.patroniPort !== undefined) {
        const path = `nodes[${index}].patroni_port`;
        ports.push({ ...of, path, purpose: "rest", port: node.patroniPort });
      }
      return ports;
    }),
  );
}

/** A port for everything wanted, or why there is none. */
export function allocatePorts(
  input: AllocationInput,
): Result<readonly TakenPort[], readonly Diagnostic[]> {
  const { databaseId } = input;
  const wanted = wantedPorts(databaseId, input.nodes);
  const problems: Diagnostic[] = [];
  const given: TakenPort[] = [];
  for (const asked of [...wanted].sort((a, b) => Number(a.port === 0) - Number(b.port === 0))) {
    const { hostId, instanceId, purpose } = asked;
    const port = asked.port === 0 ? randomPort(input, asked, given) : fixedPort(input, asked);
    if (typeof port === "number") {
      given.push({ hostId, port, databaseId, instanceId, purpose, random: asked.port === 0 });
    } else {
      problems.push(port);
    }
  }
  return problems.length > 0 ? fail(problems) : ok(given);
}

function fixedPort(input: AllocationInput, asked: WantedPort): number | Diagnostic {
  const other = input.taken.find(
    ({ hostId, port, databaseId }) =>
      hostId === asked.hostId && port === asked.port && databaseId !== input.databaseId,
  );
  if (!other) return asked.port;
  const owner = `instance ${other.instanceId} of database ${other.databaseId}`;
  return {
    path: asked.path,
    code: "port_in_use",
    message: `${asked.nodeName}: port ${asked.port} of host ${asked.hostId} belongs to ${owner}`,
  };
}

/** The port that the instance has already, otherwise any that is free in the host's range. */
function randomPort(
  input: AllocationInput,
  asked: WantedPort,
  given: readonly TakenPort[],
): number | Diagnostic {
  const used = new Set([
    ...input.taken.filter(({ hostId }) => hostId === asked.hostId).map(({ port }) => port),
    ...given.filter(({ hostId }) => hostId === asked.hostId).map(({ port }) => port),
    ...(input.listening.get(asked.hostId) ?? []),
  ]);
  const own = ownPort(input, asked);
  if (own !== undefined) return own;
  const range = input.hosts.find(({ id }) => id === asked.hostId)?.random_ports;
  const free: number[] = [];
  for (let port = range?.min ?? 1; port <= (range?.max ?? 0); port++) {
    if (!used.has(port)) free.push(port);
  }
  const chosen = free[input.rng.int(0, Math.max(free.length - 1, 0))];
  if (chosen !== undefined) return chosen;
  return {
    path: asked.path,
    code: "no_free_port",
    message: `${asked.nodeName}: host ${asked.hostId} has no free port from ${range?.min} to ${range?.max}`,
  };
}

function ownPort(input: AllocationInput, asked: WantedPort): number | undefined {
  const own = input.taken.filter(
    ({ instanceId, purpose, random }) =>
      random && instanceId === asked.instanceId && purpose === asked.purpose,
  );
  const current = input.current.get(`${asked.instanceId}/${asked.purpose}`);
  return (own.find(({ port }) => port === current) ?? own[0])?.port;
}
