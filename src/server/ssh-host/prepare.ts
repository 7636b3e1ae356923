// Makes a machine with sshd a host: the program, the keepers' way to the store, and what it is like. Every
// part may be done again.

import { must } from "../../base/assert.ts";
import { buildVersion } from "../../base/version.ts";
import { readHostSize } from "../../observe/host-facts.ts";
import { findInstallations } from "../../observe/postgres-installations.ts";
import { distantDriver, distantOrchestrator } from "../../orchestrator/registry.ts";
import { factsOf } from "../../plan/placement.ts";
import type { PlannedHost } from "../../spec/add-host.ts";
import type { ComponentStatus, HostRecord } from "../../spec/host.ts";
import type { Member } from "../member.ts";
import { ensureCertificate, ensurePassword, ensureStoreUrls, storeUrls } from "./access-files.ts";
import { distantComponents } from "./look.ts";
import { ensureProgram, type OwnProgram, type Site } from "./program.ts";

export interface PreparedHost {
  readonly record: HostRecord;
  readonly components: Readonly<Record<string, ComponentStatus>>;
}

/** The host as it is written into the list. Throws an AppError. */
export async function prepareHost(
  member: Member,
  program: OwnProgram,
  planned: PlannedHost,
  site: Site,
): Promise<PreparedHost> {
  const { executor, signal } = site;
  await executor.mkdir(planned.data_dir, { mode: 0o755, signal });
  await ensureProgram(program, `${planned.data_dir}/bin`, site);
  const certificate = await ensureCertificate(member, planned, 0, site);
  await ensurePassword(member, planned, site);
  await ensureStoreUrls(member, planned, site);
  const record = await describe(planned, site);
  const { clock } = member.environment;
  const driver = must(
    distantDriver(record.orchestrator, record.data_dir, clock),
    "a driver for the host",
  );
  const components = await distantComponents({
    clock,
    driver,
    executor,
    host: factsOf(record),
    storeUrls: () => storeUrls(member),
    certificate: () => certificate,
    installations: () => record.installations,
  }).look(signal);
  return { record, components };
}

async function describe(planned: PlannedHost, site: Site): Promise<HostRecord> {
  const { executor, signal, log } = site;
  const { service_units = true, join: _join, labels: _labels, ...rest } = planned;
  const size = await readHostSize(executor, signal);
  const installations = await findInstallations(executor, planned.ssh.bin_dirs, signal);
  const keepers = await distantOrchestrator(executor, service_units, signal);
  log("looked at the machine", {
    keepers: keepers.name,
    cpus: size.cpus,
    memory_bytes: size.memoryBytes,
    postgres: installations.map(({ version }) => version),
  });
  return {
    ...rest,
    orchestrator: keepers.name,
    etcd_mode: "client",
    cpus: size.cpus,
    memory_bytes: size.memoryBytes,
    installations: [...installations],
    capabilities: {
      limits: keepers.limits,
      survives_server_down: keepers.survives,
      services: false,
    },
    server_version: buildVersion.version,
  };
}
