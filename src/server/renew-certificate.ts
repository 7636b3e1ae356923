// Replaces this host's certificate before it ends, and when the cluster wants all of them replaced.
import { messageOf } from "../base/errors.ts";
import { hostCertificateCheckMs } from "../base/limits.ts";
import { loadClusterSetting } from "../store/cluster-settings.ts";
import type { Member } from "./serve.ts";

/** Runs until the signal aborts. rqlited, keepers and connections under way are not disturbed. */
export async function renewCertificate(member: Member, signal: AbortSignal): Promise<void> {
  const { environment, certificate, opened } = member;
  const log = environment.log.component("cluster");
  let wantedMs = 0;
  while (!signal.aborted) {
    try {
      const { display } = opened.store;
      wantedMs = await loadClusterSetting(display, "certificates_after_ms").catch(() => wantedMs);
      if (await certificate.renew(wantedMs)) {
        log.info("renewed the certificate of this host", { ...certificate.times() });
      }
    } catch (thrown) {
      if (signal.aborted) return;
      log.error("cannot renew the certificate of this host", { error: messageOf(thrown) });
    }
    await environment.clock.sleep(hostCertificateCheckMs, signal).catch(() => undefined);
  }
}
