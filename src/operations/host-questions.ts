// Which host is asked what before a spec is accepted: only about what the change makes new.
import { factsOf } from "../plan/placement.ts";
import { parseVersion } from "../postgres/version.ts";
import type { HostRecord } from "../spec/host.ts";
import { instanceId } from "../spec/ids.ts";
import type { ResolvedNode } from "../spec/normalise.ts";
import type { PortPurpose } from "../store/ports.ts";
import { wantedPorts } from "./allocate-ports.ts";
import type { Before } from "./before.ts";
import type { ClusterRuntime } from "./deps.ts";
import type { HostQuestions, PathQuestion, PortQuestion } from "./host-checks.ts";
import { driverOf } from "./runtime.ts";

export interface Questioned {
  readonly databaseId: string;
  readonly nodes: readonly ResolvedNode[];
  /** Those of the nodes. */
  readonly hosts: readonly HostRecord[];
  readonly runtime: ClusterRuntime;
  readonly before: Before | undefined;
}

/** Hosts with something new; a host where nothing is new is not asked and may be down. */
export function questionsFor(input: Questioned): readonly HostQuestions[] {
  const known = new Set((input.before?.instances ?? []).map(({ id }) => id));
  const own = ownPorts(input.before);
  const wanted = wantedPorts(input.databaseId, input.nodes);
  return input.hosts.flatMap((host) => {
    const here = wanted.filter(({ hostId }) => hostId === host.id);
    const ports: readonly PortQuestion[] = here.filter(
      ({ port }) => port !== 0 && !own.has(`${host.id}:${port}`),
    );
    const random = here.some(
      ({ port, instanceId, purpose }) => port === 0 && !hasPort(input.before, instanceId, purpose),
    );
    const fresh = newInstances(input, host, known);
    if (ports.length === 0 && fresh.length === 0 && !random) return [];
    return [
      {
        hostId: host.id,
        postgresUser: host.postgres_user,
        ports,
        programs: fresh.flatMap(({ programs }) => programs),
        directories: fresh.flatMap(({ directories }) => directories),
      },
    ];
  });
}

/** Ports that instances of this database use; they move freely among themselves. */
function ownPorts(before: Before | undefined): ReadonlySet<string> {
  return new Set(
    (before?.instances ?? []).flatMap(({ hostId, config }) =>
      [config?.port, config?.rest_port].flatMap((port) =>
        port === null || port === undefined ? [] : [`${hostId}:${port}`],
      ),
    ),
  );
}

function hasPort(before: Before | undefined, id: string, purpose: PortPurpose): boolean {
  const config = before?.instances.find((instance) => instance.id === id)?.config;
  const port = purpose === "rest" ? config?.rest_port : config?.port;
  return port !== undefined && port !== null;
}

/** Copies and rejoins need more programs than a primary that is alone. */
function programsOf(node: ResolvedNode): readonly string[] {
  return node.hostIds.length > 1 ? ["initdb", "pg_basebackup"] : ["initdb"];
}

function newInstances(
  input: Questioned,
  host: HostRecord,
  known: ReadonlySet<string>,
): readonly { readonly programs: PathQuestion[]; readonly directories: PathQuestion[] }[] {
  return input.nodes.flatMap((node, index) => {
    const id = instanceId(input.databaseId, node.name, host.id);
    const major = parseVersion(node.postgresVersion ?? "")?.major;
    if (!node.hostIds.includes(host.id) || known.has(id) || major === undefined) return [];
    const placement = {
      instanceId: id,
      databaseId: input.databaseId,
      nodeName: node.name,
      hostId: host.id,
      postgresMajor: major,
    };
    const facts = factsOf(host);
    const layout = driverOf(input.runtime, host).layout(placement, facts);
    const binDir = host.installations.find((installation) => installation.major === major)?.bin_dir;
    const path = `nodes[${index}]`;
    return [
      {
        programs:
          binDir === undefined
            ? []
            : programsOf(node).map((program) => ({
                path,
                nodeName: node.name,
                file: `${binDir}/${program}`,
              })),
        directories: [{ path, nodeName: node.name, file: layout.data_dir }],
      },
    ];
  });
}
