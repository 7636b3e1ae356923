// Sessions with the PostgreSQL of another member: over TLS, with the superuser's certificate, on the first of its
// addresses that answers.
import { AppError, messageOf } from "../../../src/base/errors.ts";
import { openRemoteSession, type SqlSession } from "../sql.ts";
import type { Peer } from "./mechanics.ts";
import type { StandbyDeps } from "./places.ts";

/** Opens a session for `work` and closes it after. Throws a retryable AppError when no address answers. */
export async function withPeer<T>(
  deps: StandbyDeps,
  peer: Peer,
  signal: AbortSignal,
  work: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const session = await openPeer(deps, peer, signal);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

async function openPeer(deps: StandbyDeps, peer: Peer, signal: AbortSignal): Promise<SqlSession> {
  const tls = await readPair(deps);
  const failures: string[] = [];
  for (const host of peer.addresses) {
    const target = {
      host,
      port: peer.port,
      database: "postgres",
      major: deps.server().major,
      tls,
    };
    try {
      return await openRemoteSession(target, deps.clock, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${host}: ${messageOf(error)}`);
    }
  }
  const text = `${peer.instanceId} cannot be reached (${failures.join("; ") || "no address"})`;
  throw new AppError("retryable", text);
}

async function readPair(deps: StandbyDeps): Promise<{ ca: string; cert: string; key: string }> {
  const [ca, cert, key] = await Promise.all(
    ["ca.crt", "superuser.crt", "superuser.key"].map(async (name) => {
      const path = `${deps.file.layout.certificate_dir}/${name}`;
      const bytes = await deps.executor.get(path);
      if (!bytes) throw new AppError("retryable", `${path} is missing`);
      return new TextDecoder().decode(bytes);
    }),
  );
  return { ca: ca ?? "", cert: cert ?? "", key: key ?? "" };
}
