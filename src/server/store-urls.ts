// Where the members of the store are, in a file for this host's keepers: they follow it without being touched.
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { membersCheckMs } from "../base/limits.ts";
import type { Rqlited } from "../store/rqlited.ts";
import { replaceFile } from "../store/rqlited-binary.ts";
import type { ServerEnvironment } from "./environment.ts";
import type { MembershipFile } from "./membership.ts";

export interface StoreUrlsParts {
  readonly environment: ServerEnvironment;
  readonly membership: MembershipFile;
  readonly opened: { readonly rqlited: Rqlited };
}

/** The file: a JSON array of base URLs, this host's own first. */
export function storeUrlsPath(dataDir: string): string {
  return join(dataDir, "store-urls.json");
}

/** Keeps the file as the members are, until the signal aborts. */
export async function writeStoreUrls(parts: StoreUrlsParts, signal: AbortSignal): Promise<void> {
  const { environment, membership, opened } = parts;
  const { config, clock, rng, log } = environment;
  let written = "";
  while (!signal.aborted) {
    const others = membership.others(config.host_id).map(({ url }) => url);
    const text = `${JSON.stringify([opened.rqlited.url, ...others])}\n`;
    try {
      if (text !== written) {
        await replaceFile(storeUrlsPath(config.data_dir), text, { mode: 0o600, rng });
        written = text;
      }
    } catch (thrown) {
      log.component("cluster").warn("cannot write the store's URLs", { error: messageOf(thrown) });
    }
    await clock.sleep(membersCheckMs, signal).catch(() => undefined);
  }
}
