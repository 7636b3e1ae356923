// Rules of a spec that depend on the hosts it names: that they exist, what they have installed, and
// what that version of PostgreSQL understands.
import type { Diagnostic } from "../base/result.ts";
import { checkParameterNames } from "../postgres/guc.ts";
import { lineMajorMin } from "../postgres/hba-line.ts";
import { compareVersions, formatVersion, parseVersion } from "../postgres/version.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { applyDefaults, releases, spockMajor } from "./defaults.ts";
import type { HostRecord } from "./host.ts";
import { type ResolvedNode, resolveNodes } from "./normalise.ts";
import { problem } from "./problem.ts";

/**
 * Problems of the hosts of a spec. A version must be installed exactly as it is asked for, except
 * one that the previous spec already had: hosts get new minors from their package manager, and the
 * spec must stay acceptable when they do.
 */
export function validateHosts(
  spec: DatabaseSpec,
  hosts: readonly HostRecord[],
  previous?: DatabaseSpec,
): readonly Diagnostic[] {
  const unknown = checkKnown(spec, hosts);
  if (unknown.length > 0) return unknown;
  const filled = applyDefaults(spec, hosts);
  const known = new Set(previous === undefined ? [] : versionsOf(previous));
  const nodes = resolveNodes(filled);
  return [
    ...nodes.flatMap((node, index) => checkVersion(spec, node, index, { hosts, known })),
    ...checkMaintenance(spec, hosts, previous),
    ...checkSpock(spec, nodes, hosts),
    ...checkParameters(spec, nodes),
    ...checkLines(spec, nodes),
  ];
}

function versionsOf(spec: DatabaseSpec): readonly string[] {
  return resolveNodes(spec).flatMap(({ postgresVersion }) => postgresVersion ?? []);
}

function checkKnown(spec: DatabaseSpec, hosts: readonly HostRecord[]): readonly Diagnostic[] {
  const ids = new Set(hosts.map(({ id }) => id));
  const lists = [
    ...spec.nodes.map((node, index) => ({ path: `nodes[${index}]`, ids: node.host_ids })),
    ...(spec.services ?? []).map((one, index) => ({
      path: `services[${index}]`,
      ids: one.host_ids,
    })),
  ];
  const witnesses = new Set(hosts.filter(({ witness }) => witness).map(({ id }) => id));
  const hint = ids.size === 0 ? undefined : `known hosts: ${[...ids].sort().join(", ")}`;
  return lists.flatMap((list) =>
    list.ids.flatMap((id, index) =>
      witnesses.has(id)
        ? [
            problem(
              `${list.path}.host_ids[${index}]`,
              "unsupported",
              `host ${id} is a witness: it runs no databases`,
            ),
          ]
        : ids.has(id)
          ? []
          : [
              problem(
                `${list.path}.host_ids[${index}]`,
                "unknown",
                `no host has the id ${id}`,
                hint,
              ),
            ],
    ),
  );
}

/** A host in maintenance keeps what it has and gets nothing new. */
function checkMaintenance(
  spec: DatabaseSpec,
  hosts: readonly HostRecord[],
  previous: DatabaseSpec | undefined,
): readonly Diagnostic[] {
  const closed = new Map(
    hosts.flatMap((host) => (host.maintenance ? [[host.id, host] as const] : [])),
  );
  return spec.nodes.flatMap((node, at) => {
    const before = previous?.nodes.find(({ name }) => name === node.name)?.host_ids ?? [];
    return node.host_ids.flatMap((id, index) => {
      const host = closed.get(id);
      if (!host || before.includes(id)) return [];
      const reason = host.maintenance?.reason;
      const why = reason === undefined ? "" : ` (${reason})`;
      const message = `${node.name}: host ${id} is in maintenance${why}: it gets no new instances`;
      const hint = `choose another host, or \`pgherd host maintenance off ${id}\``;
      return [problem(`nodes[${at}].host_ids[${index}]`, "maintenance", message, hint)];
    });
  });
}

function checkVersion(
  spec: DatabaseSpec,
  node: ResolvedNode,
  index: number,
  world: { readonly hosts: readonly HostRecord[]; readonly known: ReadonlySet<string> },
): readonly Diagnostic[] {
  const own = spec.nodes[index]?.postgres_version !== undefined;
  const path = own ? `nodes[${index}].postgres_version` : "postgres_version";
  const hosts = world.hosts.filter(({ id }) => node.hostIds.includes(id));
  const wanted = node.postgresVersion;
  const version = wanted === undefined ? undefined : parseVersion(wanted);
  if (wanted === undefined || version === undefined) {
    const message = `the hosts of ${node.name} have no version of PostgreSQL that all hosts have: ${offers(hosts)}`;
    return [problem(path, "unsupported", message)];
  }
  const defaulted = !own && spec.postgres_version === undefined;
  const byMajor = defaulted || world.known.has(wanted);
  return hosts
    .filter(
      (host) =>
        !releases(host).some((installed) =>
          byMajor ? installed.major === version.major : compareVersions(installed, version) === 0,
        ),
    )
    .map((host) => {
      const message = `${node.name}: host ${host.id} has no PostgreSQL ${wanted}`;
      return problem(path, "unsupported", message, offers([host]));
    });
}

function offers(hosts: readonly HostRecord[]): string {
  return hosts
    .map((host) => {
      const versions = releases(host).map(formatVersion).join(", ");
      return `host ${host.id} has ${versions === "" ? "none" : versions}`;
    })
    .join("; ");
}

/** A Spock version that is asked for must be what every instance's installation has. */
function checkSpock(
  spec: DatabaseSpec,
  nodes: readonly ResolvedNode[],
  hosts: readonly HostRecord[],
): readonly Diagnostic[] {
  const wanted = spec.spock_version;
  if (wanted === undefined) return [];
  return nodes.flatMap((node) => {
    const major = parseVersion(node.postgresVersion ?? "")?.major;
    return node.hostIds.flatMap((hostId) => {
      const installed = hosts
        .find(({ id }) => id === hostId)
        ?.installations.find((installation) => installation.major === major);
      if (installed === undefined) return [];
      const has = installed.spock_version;
      if (has !== null && spockMajor(has) === wanted) return [];
      const message = `${node.name}: PostgreSQL ${installed.version} of host ${hostId} has ${
        has === null ? "no Spock" : `Spock ${has}`
      }`;
      return [problem("spock_version", "unsupported", message)];
    });
  });
}

/** Settings that the version of a node does not have, once per field. */
function checkParameters(
  spec: DatabaseSpec,
  nodes: readonly ResolvedNode[],
): readonly Diagnostic[] {
  const problems = new Map<string, Diagnostic>();
  for (const [index, node] of nodes.entries()) {
    const major = parseVersion(node.postgresVersion ?? "")?.major;
    if (major === undefined) continue;
    const levels = [
      { path: "postgresql_conf", conf: spec.postgresql_conf },
      { path: `nodes[${index}].postgresql_conf`, conf: spec.nodes[index]?.postgresql_conf },
    ];
    for (const { path, conf } of levels) {
      for (const found of checkParameterNames(Object.keys(conf ?? {}), major, path)) {
        if (!problems.has(found.path)) problems.set(found.path, found);
      }
    }
  }
  return [...problems.values()];
}

/** Lines of pg_hba.conf and pg_ident.conf that the version of a node does not understand yet. */
function checkLines(spec: DatabaseSpec, nodes: readonly ResolvedNode[]): readonly Diagnostic[] {
  const problems = new Map<string, Diagnostic>();
  for (const [index, node] of nodes.entries()) {
    const major = parseVersion(node.postgresVersion ?? "")?.major;
    if (major === undefined) continue;
    const own = spec.nodes[index];
    const lists = [
      { path: "pg_hba_conf", lines: spec.pg_hba_conf },
      { path: "pg_ident_conf", lines: spec.pg_ident_conf },
      { path: `nodes[${index}].pg_hba_conf`, lines: own?.pg_hba_conf },
      { path: `nodes[${index}].pg_ident_conf`, lines: own?.pg_ident_conf },
    ];
    for (const { path, lines } of lists) {
      for (const [line, text] of (lines ?? []).entries()) {
        const at = `${path}[${line}]`;
        const needed = lineMajorMin(text);
        if (needed <= major || problems.has(at)) continue;
        const message = `PostgreSQL ${major} does not understand the line; ${needed} does`;
        problems.set(at, problem(at, "unsupported", message));
      }
    }
  }
  return [...problems.values()];
}
