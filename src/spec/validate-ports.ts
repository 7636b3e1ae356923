// The rule that one port of a host serves one purpose.
import type { Diagnostic } from "../base/result.ts";
import type { DatabaseSpec } from "./database-spec.ts";
import { resolveNodes } from "./normalise.ts";
import { problem } from "./problem.ts";

/** One wish for a fixed port on one host. */
interface Claim {
  readonly path: string;
  readonly hostId: string;
  readonly port: number;
}

/** Ports that a spec asks for twice on one host. Absent and random ones cannot collide. */
export function checkPorts(spec: DatabaseSpec): readonly Diagnostic[] {
  const taken = new Map<string, Claim>();
  const problems: Diagnostic[] = [];
  for (const claim of claims(spec)) {
    const key = `${claim.hostId} ${claim.port}`;
    const first = taken.get(key);
    if (first === undefined) {
      taken.set(key, claim);
      continue;
    }
    const message = `port ${claim.port} on host ${claim.hostId} is already used by ${first.path}`;
    const hint = "give another port, or 0 for a free one";
    problems.push(problem(claim.path, "conflict", message, hint));
  }
  return problems;
}

function claims(spec: DatabaseSpec): readonly Claim[] {
  const nodes = resolveNodes(spec).flatMap((node, index) =>
    [...new Set(node.hostIds)].flatMap((hostId) => [
      ...claim(`nodes[${index}].port`, hostId, node.port),
      ...claim(`nodes[${index}].patroni_port`, hostId, node.patroniPort),
    ]),
  );
  const services = (spec.services ?? []).flatMap((service, index) =>
    [...new Set(service.host_ids)].flatMap((hostId) =>
      claim(`services[${index}].port`, hostId, service.port),
    ),
  );
  return [...nodes, ...services];
}

function claim(path: string, hostId: string, port: number | undefined): readonly Claim[] {
  return port === undefined || port === 0 ? [] : [{ path, hostId, port }];
}
