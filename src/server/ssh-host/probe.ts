// A look at a machine before it becomes a host.
import type { SshProbe } from "../../operations/deps.ts";
import type { SshAccess } from "../../spec/add-host.ts";
import type { Member } from "../member.ts";
import { openWay, recordWay } from "./way.ts";

/** Opens nothing yet. Throws a terminal AppError for a host key that is none. */
export function openProbe(member: Member, hostId: string, access: SshAccess): SshProbe {
  const way = openWay(hostId, access, member.environment.clock);
  return {
    executor: way.executor,
    learned() {
      const { own, jump } = way.learned();
      return [
        ...(own ? [{ address: access.address, fingerprint: own.fingerprint, key: own.key }] : []),
        ...(jump && access.jump
          ? [{ address: access.jump.address, fingerprint: jump.fingerprint, key: jump.key }]
          : []),
      ];
    },
    record: () => recordWay(hostId, access, way.learned(), member.sealer),
    close: way.close,
  };
}
