// Replaces this host's certificate before it ends, and when the cluster wants all of them replaced.
import { messageOf } from "../base/errors.ts";
import { hostCertificateCheckMs } from "../base/limits.ts";
import { loadClusterSetting } from "../store/cluster-settings.ts";
import type { Member } from "./member.ts";

/** Runs until the signal aborts. `announce` writes the host's record, with the keys to come. rqlited, keepers and connections under way are not disturbed. */
export async function renewCertificate(
  member: Member,
  announce: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { environment, certificate, membership, opened } = member;
  const log = environment.log.component("cluster");
  while (!signal.aborted) {
    try {
      const { certificates_after_ms: doneMs = 0 } = membership.content;
      const { display } = opened.store;
      const wantedMs = await loadClusterSetting(display, "certificates_after_ms").catch(() => 0);
      if (await certificate.renew(wantedMs > doneMs, announce)) {
        log.info("renewed the certificate of this host", { notAfterMs: certificate.notAfterMs() });
      }
      if (wantedMs > doneMs) await membership.update({ certificates_after_ms: wantedMs });
    } catch (thrown) {
      if (signal.aborted) return;
      log.error("cannot renew the certificate of this host", { error: messageOf(thrown) });
    }
    await environment.clock.sleep(hostCertificateCheckMs, signal).catch(() => undefined);
  }
}
