// What keepers need on a host without a server to reach the store: the host's certificate, the password,
// and where the members are. A server writes these for its own host; here the cluster does.
import { X509Certificate } from "node:crypto";
import { dirname } from "node:path";
import type { HostRecord } from "../../spec/host.ts";
import {
  type CertificateDeps,
  hostCertificateFiles,
  isGoodCertificate,
  issueHostCertificate,
} from "../host-certificate.ts";
import type { Member } from "../member.ts";
import { keeperPasswordPath } from "../open-store.ts";
import { storeUrlsPath } from "../store-urls.ts";
import type { Site } from "./program.ts";

type Named = Pick<HostRecord, "id" | "data_dir" | "peer_addresses">;

/** When a host's certificate was issued and ends, wall clock, milliseconds. */
export interface CertificateTimes {
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
}

/**
 * Has the host a certificate that will do for a while, issued after the given time; a new one is issued
 * where it has not.
 */
export async function ensureCertificate(
  member: Member,
  host: Named,
  afterMs: number,
  site: Site,
): Promise<CertificateTimes> {
  const { executor, signal, log } = site;
  const files = hostCertificateFiles(host.data_dir);
  const deps: CertificateDeps = {
    hostId: host.id,
    addresses: host.peer_addresses,
    authority: member.authority,
    clock: member.environment.clock,
  };
  const [ca, cert, key] = await Promise.all(
    [files.ca, files.certificate, files.key].map((path) => readText(path, site)),
  );
  if (ca !== undefined && cert !== undefined && key !== undefined) {
    const times = timesOf(cert);
    const known = { ca, cert, key };
    if (isGoodCertificate(known, deps) && times && times.issuedAtMs > afterMs) return times;
  }
  const issued = await issueHostCertificate(deps);
  await executor.mkdir(dirname(files.ca), { mode: 0o700, signal });
  await executor.put(files.ca, issued.ca, { mode: 0o600, signal });
  // The key first: who reads in between has two that do not fit, and reads again.
  await executor.put(files.key, issued.key, { mode: 0o600, signal });
  await executor.put(files.certificate, issued.cert, { mode: 0o600, signal });
  log("issued a certificate", { path: files.certificate });
  return timesOf(issued.cert) ?? { issuedAtMs: 0, notAfterMs: 0 };
}

/** The password that keepers show the store. */
export async function ensurePassword(member: Member, host: Named, site: Site): Promise<void> {
  const path = keeperPasswordPath(host.data_dir);
  const { signal, executor } = site;
  const text = `${member.opened.rqlited.users.keeper.password.reveal()}\n`;
  if ((await readText(path, site)) === text) return;
  await executor.mkdir(dirname(path), { mode: 0o700, signal });
  await executor.put(path, text, { mode: 0o600, signal });
  site.log("wrote the keepers' way into the store", { path });
}

/** The members of the store as they are now; true when that was news. */
export async function ensureStoreUrls(member: Member, host: Named, site: Site): Promise<boolean> {
  const path = storeUrlsPath(host.data_dir);
  const text = `${JSON.stringify(storeUrls(member))}\n`;
  if ((await readText(path, site)) === text) return false;
  await site.executor.put(path, text, { mode: 0o600, signal: site.signal });
  site.log("wrote the members of the store", { path });
  return true;
}

/** Base URLs of every member of the store. */
export function storeUrls({ membership }: Pick<Member, "membership">): readonly string[] {
  return membership.content.members.map(({ url }) => url).sort();
}

async function readText(path: string, { executor, signal }: Site): Promise<string | undefined> {
  const content = await executor.get(path, { signal });
  return content && new TextDecoder().decode(content);
}

function timesOf(certificate: string): CertificateTimes | undefined {
  try {
    const { validFromDate, validToDate } = new X509Certificate(certificate);
    return { issuedAtMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() };
  } catch (thrown) {
    // A damaged file is replaced.
    if (thrown instanceof Error) return undefined;
    throw thrown;
  }
}
