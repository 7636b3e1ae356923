// A host of a cluster as far as other hosts see it: certificates of a test authority and a real internal listener.
// First: the certificate library needs it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { uuidMaker } from "../../src/base/ids.ts";
import { peerPatienceMs } from "../../src/base/limits.ts";
import { createLogger, LogLevels } from "../../src/base/log.ts";
import { systemRng } from "../../src/base/rng.ts";
import type { PlanMark } from "../../src/host/executor.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import { PeerExecutor } from "../../src/host/peer.ts";
import { peerLink } from "../../src/peer/client.ts";
import {
  CREDENTIAL_FILES,
  LiveCredentials,
  type PeerCredentials,
} from "../../src/peer/credentials.ts";
import { hostRoutes } from "../../src/peer/host-routes.ts";
import type { InternalRoutes } from "../../src/peer/internal-call.ts";
import {
  listenForPeers,
  type PeerListener,
  type PeerListenerOptions,
} from "../../src/peer/listener.ts";
import { PlanFences } from "../../src/peer/plan-fences.ts";
import { RunningCalls } from "../../src/peer/running-calls.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";

const ids = uuidMaker(systemClock, systemRng);

export const silentLog = createLogger(
  { clock: systemClock, levels: new LogLevels("fatal"), write: () => undefined },
  "test",
  {},
);

export function newAuthority(): Promise<Authority> {
  return createAuthority("test cluster", systemClock.nowMs(), systemRng);
}

/** Writes a certificate of the host into the directory, as its server does. */
export async function issueFor(
  authority: Authority,
  hostId: string,
  directory: string,
): Promise<PeerCredentials> {
  const issued = await authority.issue(
    { purpose: "peer", commonName: hostId, addresses: ["127.0.0.1", "localhost"] },
    systemClock.nowMs(),
  );
  writeFileSync(join(directory, CREDENTIAL_FILES.ca), authority.certificatePem);
  writeFileSync(join(directory, CREDENTIAL_FILES.key), issued.privateKeyPem.reveal());
  writeFileSync(join(directory, CREDENTIAL_FILES.cert), issued.certificatePem);
  return new LiveCredentials(directory).current();
}

export class PeerHost {
  readonly directory: string;
  readonly hostId: string;
  readonly listener: PeerListener;
  readonly credentials: PeerCredentials;
  readonly routes: InternalRoutes;

  private constructor(
    directory: string,
    credentials: PeerCredentials,
    listener: PeerListener,
    routes: InternalRoutes,
  ) {
    this.directory = directory;
    this.hostId = credentials.hostId;
    this.credentials = credentials;
    this.listener = listener;
    this.routes = routes;
  }

  static async start(
    authority: Authority,
    hostId: string,
    options: {
      readonly admits?: PeerListenerOptions["admits"];
      readonly calls?: RunningCalls;
      readonly routes?: InternalRoutes;
    } = {},
  ): Promise<PeerHost> {
    const directory = mkdtempSync(join(tmpdir(), "pgherd-peer-"));
    const credentials = await issueFor(authority, hostId, directory);
    const fences = new PlanFences(join(directory, "plans.json"));
    const executor = new LocalExecutor(hostId, systemClock);
    const deps = {
      executor,
      clock: systemClock,
      log: silentLog,
      fences,
      calls: options.calls ?? new RunningCalls(systemClock),
    };
    const routes = { ...hostRoutes(deps), ...options.routes };
    const listener = await listenForPeers({
      hostname: "127.0.0.1",
      port: 0,
      credentials,
      routes,
      admits: options.admits ?? (async () => true),
      log: silentLog,
    });
    return new PeerHost(directory, credentials, listener, routes);
  }

  /** This host as `caller` reaches it; `meant` is who the caller believes it is. */
  executorFor(caller: PeerCredentials, plan?: PlanMark, meant = this.hostId): PeerExecutor {
    const address = { hostId: meant, addresses: ["127.0.0.1"], port: this.listener.port };
    const patience = plan ? { clock: systemClock, forMs: peerPatienceMs } : undefined;
    const link = peerLink(address, () => caller, patience);
    return new PeerExecutor(link, { clock: systemClock, ids, ...(plan ? { plan } : {}) });
  }

  async stop(): Promise<void> {
    await this.listener.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
