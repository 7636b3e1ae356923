// Rules of services beside a database.
import type { Diagnostic } from "../base/result.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { checkIdentifier, checkUnique, problem } from "./problem.ts";
import { checkOrchestratorOpts, type ServiceSpec } from "./service-spec.ts";
import { checkHostIds, checkLimits } from "./validate-nodes.ts";

/** Both ids are part of names that may have 63 characters, with a suffix. */
const IDS_CHARS_MAX = 53;
const WRITABLE = ["primary", "read-write"];

/** Problems of the services of a spec; where services cannot run at all, only that is said. */
export function checkServices(
  spec: DatabaseSpec,
  context: { readonly services: boolean; readonly databaseId?: string },
): readonly Diagnostic[] {
  const services = spec.services ?? [];
  if (!context.services) {
    const message = "the hosts of this cluster cannot run services";
    return services.map((_, index) => problem(`services[${index}]`, "unsupported", message));
  }
  return [
    ...checkUnique(
      services.map(({ service_id }) => service_id),
      (index) => `services[${index}].service_id`,
      "service",
    ),
    ...services.flatMap((service, index) => {
      const path = `services[${index}]`;
      return [
        ...checkServiceId(service, path, context.databaseId),
        ...checkHostIds(service.host_ids, path),
        ...checkLimits(service, `${path}.`),
        ...checkConnection(spec, service, path),
        ...checkOrchestratorOpts(service.orchestrator_opts, `${path}.orchestrator_opts`, "service"),
      ];
    }),
  ];
}

function checkServiceId(
  service: ServiceSpec,
  path: string,
  databaseId: string | undefined,
): readonly Diagnostic[] {
  const at = `${path}.service_id`;
  const wrong = checkIdentifier(at, service.service_id);
  if (wrong.length > 0) return wrong;
  const length = (databaseId?.length ?? 0) + service.service_id.length;
  if (length <= IDS_CHARS_MAX) return [];
  const message = `together with the database's id it must not have more than ${IDS_CHARS_MAX} characters`;
  return [problem(at, "too_long", message)];
}

function checkConnection(
  spec: DatabaseSpec,
  service: ServiceSpec,
  path: string,
): readonly Diagnostic[] {
  const users = (spec.database_users ?? []).map(({ username }) => username);
  const problems: Diagnostic[] = [];
  if (!users.includes(service.connect_as)) {
    const message = "must be the username of one of database_users";
    problems.push(problem(`${path}.connect_as`, "unknown", message));
  }
  const attrs = service.database_connection?.target_session_attrs;
  const writes = service.service_type === "mcp" && service.config?.allow_writes === true;
  if (writes && attrs !== undefined && !WRITABLE.includes(attrs)) {
    const at = `${path}.database_connection.target_session_attrs`;
    const message = `allow_writes needs ${WRITABLE.join(" or ")}`;
    problems.push(problem(at, "conflict", message));
  }
  return [...problems, ...checkTargets(spec, service, `${path}.database_connection.target_nodes`)];
}

function checkTargets(
  spec: DatabaseSpec,
  service: ServiceSpec,
  path: string,
): readonly Diagnostic[] {
  const targets = service.database_connection?.target_nodes;
  if (targets === undefined) return [];
  if (targets.length === 0) return [problem(path, "required", "must name at least one node")];
  const nodes = spec.nodes.map(({ name }) => name);
  const pathOf = (index: number) => `${path}[${index}]`;
  return [
    ...checkUnique(targets, pathOf, "node"),
    ...targets.flatMap((target, index) =>
      nodes.includes(target)
        ? []
        : [problem(pathOf(index), "unknown", `no node is named ${target}`)],
    ),
  ];
}
