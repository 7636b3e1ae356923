// A host that is a member: what it has on disk and open.
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import * as processes from "../host/process.ts";
import { type Authority, loadAuthority } from "../pki/authority.ts";
import { CA_KEY_PLACE } from "../store/cluster.ts";
import { type ClusterKey, loadClusterKey } from "../store/cluster-key.ts";
import { rqlitedPaths } from "../store/rqlited-files.ts";
import { endProcess, findByDataDirectory } from "../store/rqlited-process.ts";
import { createSealer, type Sealer } from "../store/sealing.ts";
import type { ServerEnvironment } from "./environment.ts";
import { HostCertificate } from "./host-certificate.ts";
import type { MembershipFile } from "./membership.ts";
import type { OpenedStore } from "./open-store.ts";

/** Everything of a host that is a member. */
export interface Member {
  readonly environment: ServerEnvironment;
  readonly membership: MembershipFile;
  readonly opened: OpenedStore;
  readonly key: ClusterKey;
  readonly sealer: Sealer;
  readonly authority: Authority;
  readonly certificate: HostCertificate;
}

/** Key, sealer, authority and certificate of a host that knows its cluster. */
export type Secrets = Pick<Member, "key" | "sealer" | "authority" | "certificate">;

/** Opens them. Throws a terminal AppError when something of them is missing or damaged. */
export async function openSecrets(
  environment: ServerEnvironment,
  membership: MembershipFile,
): Promise<Secrets> {
  const { config, clock, rng } = environment;
  const key = await loadClusterKey(clusterKeyPath(config));
  const sealer = createSealer(key, rng);
  const { ca_certificate, ca_key } = membership.content;
  const authority = await loadAuthority(ca_certificate, sealer.open(ca_key, CA_KEY_PLACE), rng);
  const certificate = await HostCertificate.open({
    dataDir: config.data_dir,
    hostId: config.host_id,
    addresses: config.peer_addresses,
    authority,
    clock,
    rng,
  });
  return { key, sealer, authority, certificate };
}

/** Ends what runs of the store below the data directory. */
export async function endStore({ config, clock }: ServerEnvironment): Promise<void> {
  for (const identity of findByDataDirectory(processes, rqlitedPaths(config.data_dir).data)) {
    await endProcess(identity, processes, clock);
  }
}

/** Where the key that the cluster's secrets are sealed under is. */
export function clusterKeyPath(config: Config): string {
  return join(config.data_dir, "cluster.key");
}
