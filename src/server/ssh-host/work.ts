// The work of tasks on hosts without a server, done from this one.
import type { HostMade, HostWork, WorkSite } from "../../apply/host-work.ts";
import { AppError } from "../../base/errors.ts";
import type { ClusterRuntime } from "../../operations/deps.ts";
import { distantDriver } from "../../orchestrator/registry.ts";
import { factsOf } from "../../plan/placement.ts";
import type { PlannedHost } from "../../spec/add-host.ts";
import type { HostRecord } from "../../spec/host.ts";
import type { Member } from "../member.ts";
import type { HostCare } from "./care.ts";
import { cleanHost } from "./clean.ts";
import { installMember, uninstallMember } from "./install.ts";
import { prepareHost } from "./prepare.ts";
import { OwnProgram, type Site } from "./program.ts";
import { accessOf, openWay } from "./way.ts";
import type { SshWays } from "./ways.ts";

export function createHostWork(
  member: Member,
  ways: SshWays,
  care: HostCare,
  runtime: Pick<ClusterRuntime, "newJoinToken" | "joinTokenText">,
): HostWork {
  const program = new OwnProgram();
  const { clock } = member.environment;
  /** A connection of its own: nothing is kept of a machine that does not become a host. */
  const onWay = async <T>(
    planned: PlannedHost,
    { signal, log }: WorkSite,
    work: (site: Site) => Promise<T>,
  ): Promise<T> => {
    const { id, ssh } = planned;
    const way = openWay(id, accessOf(id, ssh, member.sealer), clock);
    try {
      return await work({ executor: way.executor, signal, log });
    } finally {
      await way.close();
    }
  };
  return {
    make: (planned, site) =>
      onWay(planned, site, async (on): Promise<HostMade> => {
        if (planned.join) {
          await installMember({ member, program, runtime }, planned, planned.join, on);
          return { kind: "member" };
        }
        const prepared = await prepareHost(member, program, planned, on);
        care.readmit(planned.id);
        return { kind: "managed", ...prepared };
      }),
    unmake: (planned, site) =>
      onWay(planned, site, async (on) => {
        if (planned.join) return uninstallMember(planned, on);
        await clean(member, { ...planned, orchestrator: "detached" }, on);
      }),
    async clean(host, { signal, log }) {
      const executor = ways.executor(host);
      if (!executor) throw new AppError("bug", `host ${host.id} has a server`);
      await care.dismiss(host.id);
      try {
        await clean(member, host, { executor, signal, log });
      } catch (thrown) {
        care.readmit(host.id);
        throw thrown;
      }
      await ways.forget(host.id);
    },
  };
}

type Cleaned = Pick<
  HostRecord,
  "id" | "orchestrator" | "data_dir" | "run_dir" | "instance_dir" | "postgres_user"
>;

async function clean({ environment }: Member, host: Cleaned, site: Site): Promise<void> {
  const driver = distantDriver(host.orchestrator, host.data_dir, environment.clock);
  if (!driver) {
    const text = `host ${host.id} runs ${host.orchestrator}, unknown to this version`;
    throw new AppError("terminal", text);
  }
  await cleanHost(factsOf(host), driver, site);
}
