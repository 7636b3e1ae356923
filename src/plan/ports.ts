// The ports of one instance: as asked, or as given where the spec says 0.
import { must } from "../base/assert.ts";
import type { LoneDraft, PortAllocation } from "./draft.ts";
import { instanceInputs } from "./inputs.ts";

export interface InstancePorts {
  readonly port: number | null;
  readonly rest_port: number | null;
}

/** null = none. A node that shrank to one instance keeps what it had, so that nothing restarts for it. */
export function portsOf(draft: LoneDraft): InstancePorts {
  const { node, shared, input } = draft;
  const before = shared.storedInstances.get(draft.id);
  const kept =
    input.leased.has(node.name) && before !== undefined ? instanceInputs(before) : undefined;
  return {
    port: portOf(draft, node.port, "postgres") ?? kept?.port ?? null,
    rest_port: portOf(draft, node.patroniPort, "rest") ?? kept?.rest_port ?? null,
  };
}

function portOf(
  draft: LoneDraft,
  asked: number | undefined,
  purpose: PortAllocation["purpose"],
): number | undefined {
  if (asked !== 0) return asked;
  const given = draft.shared.ports.get(`${draft.id}/${purpose}`);
  return must(given, `${purpose} port allocated for ${draft.id}`);
}
