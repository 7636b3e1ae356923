// How a model keeper reaches a goal: one step each time it looks.
import { type Enforcer, enforce, type RunGoal } from "../../src/ha/action.ts";
import type { KeeperCore } from "./keeper-core.ts";
import { endOf } from "./wal.ts";

export function enforceGoal(keeper: KeeperCore, goal: RunGoal): void {
  const { postgres, host, fencer } = keeper.parts;
  const { server, data } = postgres;
  const canStart = server.kind === "stopped" && data.kind === "ready" && fencer.answers;
  const can = !host.isStopped("postgres");
  const enforcer: Enforcer<void> = {
    primary: ({ epoch, timeline, gate, sync }) => {
      const { primary } = postgres;
      if (primary && can) {
        primary.gate = gate;
        postgres.setSync(sync);
      }
      const fits = data.role === "primary" && endOf(data.wal).timeline === timeline;
      if (canStart && fits && keeper.lease.arms(epoch)) postgres.startPrimary(epoch, gate, sync);
    },
    standby: ({ upstream }) => {
      if (canStart) postgres.startStandby(upstream);
      else if (can) postgres.follow(upstream);
    },
    stopped: () => {
      if (can) postgres.stop();
    },
    wait: () => {},
  };
  enforce(enforcer, goal);
}
