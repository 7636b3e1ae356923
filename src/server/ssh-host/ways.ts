// One way per host without a server, kept as long as the host's record says the same.

import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Executor } from "../../host/executor.ts";
import type { HostRecord } from "../../spec/host.ts";
import type { Sealer } from "../../store/sealing.ts";
import { accessOf, openWay, type SshWay } from "./way.ts";

export interface SshWays {
  /** The executor of a host; undefined when it is not reached in this way. */
  executor(host: HostRecord): Executor | undefined;
  /** Ends the connection to a host that is none any more. */
  forget(hostId: string): Promise<void>;
  stop(): Promise<void>;
}

export function createSshWays(deps: {
  readonly clock: Clock;
  readonly log: Logger;
  readonly sealer: Sealer;
}): SshWays {
  const { clock, log, sealer } = deps;
  const known = new Map<string, { readonly place: string; readonly way: SshWay }>();
  const forget = async (hostId: string) => {
    const entry = known.get(hostId);
    known.delete(hostId);
    await entry?.way.close();
  };
  return {
    executor({ id, ssh }) {
      if (!ssh) return undefined;
      const place = JSON.stringify(ssh);
      const entry = known.get(id);
      if (entry?.place === place) return entry.way.executor;
      forget(id).catch((thrown: unknown) => {
        log.warn("cannot close a connection", { hostId: id, error: messageOf(thrown) });
      });
      const way = openWay(id, accessOf(id, ssh, sealer), clock);
      known.set(id, { place, way });
      return way.executor;
    },
    forget,
    async stop() {
      await Promise.all([...known.keys()].map(forget));
    },
  };
}
