// Passwords of the store's users. A host that is removed knows them, so that every removal is followed by other ones:
// the host that leads the store makes them, tells all members over the internal listener, and all restart rqlited with
// them at once. Who was away asks for them when it comes back. They never travel through the store itself.
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError, messageOf } from "../base/errors.ts";
import {
  storeUsersCheckMs,
  storeUsersGraceMs,
  storeUsersQuietMs,
  storeUsersSettleMs,
  storeUsersTellMs,
} from "../base/limits.ts";
import type { ExecutorOf } from "../host/executor.ts";
import { PeerExecutor } from "../host/peer.ts";
import { peerPaths } from "../host/peer-messages.ts";
import { OperationError } from "../operations/errors.ts";
import { type InternalRoutes, nothing, problem } from "../peer/internal-call.ts";
import { loadClusterSetting } from "../store/cluster-settings.ts";
import { listHosts } from "../store/hosts.ts";
import { newUsers, type SentUser, sentUsers } from "../store/rqlited-files.ts";
import type { Member } from "./member.ts";
import { writeKeeperPassword } from "./open-store.ts";

/** What hosts tell each other. */
export const StoreUsersMessage = Type.Object({
  made_ms: Type.Number(),
  users: Type.Array(Type.Object({ username: Type.String(), password: Type.String() })),
});
export type StoreUsersMessage = Static<typeof StoreUsersMessage>;

export class StoreUsers {
  readonly #member: Member;
  /** One change after the other. */
  #changes: Promise<void> = Promise.resolve();

  constructor(member: Member) {
    this.#member = member;
  }

  /** What other hosts may ask, once they are admitted. */
  routes(): InternalRoutes {
    return {
      [`GET ${peerPaths.storeUsers}`]: ({ caller }) => this.#tell(caller),
      [`PUT ${peerPaths.storeUsers}`]: async ({ request, keepOpen }) => {
        keepOpen();
        const message: unknown = await request.json();
        if (!Value.Check(StoreUsersMessage, message)) throw new Error("these are no users");
        await this.adopt(message);
        return nothing();
      },
    };
  }

  /** Takes newer passwords: rqlited is restarted, the keepers of this host follow. Older ones are ignored. */
  adopt(message: StoreUsersMessage): Promise<void> {
    const done = this.#changes.then(() => this.#adopt(message));
    this.#changes = done.catch(() => undefined);
    return done;
  }

  /** Resolves when no change is under way. Throws no_quorum when that takes long: who comes in now would come in vain. */
  async settled(): Promise<void> {
    const { environment, opened } = this.#member;
    const { clock } = environment;
    const ending = clock.deadline(storeUsersSettleMs);
    while (!ending.aborted) {
      const wantedMs = await loadClusterSetting(opened.store.db, "store_users_after_ms");
      if (wantedMs <= this.#madeMs) return this.#changes;
      await clock.sleep(storeUsersCheckMs, ending).catch(() => undefined);
    }
    const message = "the passwords of the store are being replaced: try again";
    throw new OperationError("no_quorum", message);
  }

  /** Replaces the passwords where this host leads, and asks for them where it missed that. */
  async run(executor: ExecutorOf, signal: AbortSignal): Promise<void> {
    const { environment, opened } = this.#member;
    const log = environment.log.component("cluster");
    let waiting: { readonly wantedMs: number; readonly sinceMs: number } | undefined;
    let version = 0;
    while (!signal.aborted) {
      if (waiting) await environment.clock.sleep(storeUsersCheckMs, signal).catch(() => undefined);
      else await opened.store.waitForNews(version, signal, storeUsersQuietMs);
      if (signal.aborted) return;
      try {
        version = await opened.store.changeVersion(signal, storeUsersCheckMs);
        const wantedMs = await loadClusterSetting(opened.store.local, "store_users_after_ms");
        if (wantedMs <= this.#madeMs) {
          waiting = undefined;
          continue;
        }
        const nowMs = environment.clock.monotonicMs();
        // A wish that came right after another was followed has its own time to wait.
        if (!waiting || waiting.wantedMs <= this.#madeMs) waiting = { wantedMs, sinceMs: nowMs };
        const waitedMs = nowMs - waiting.sinceMs;
        if (waitedMs < storeUsersGraceMs) continue;
        if (await opened.rqlited.leads(signal)) await this.#replace(executor, wantedMs);
        else if (waitedMs >= storeUsersSettleMs) await this.#fetch(executor);
      } catch (thrown) {
        if (signal.aborted) return;
        log.warn("cannot replace the passwords of the store", { error: messageOf(thrown) });
      }
    }
  }

  get #madeMs(): number {
    return this.#member.membership.content.store_users_ms ?? 0;
  }

  /** Nobody hears them on the strength of what was known of him a while ago: the list of hosts is read now, or no answer. */
  async #tell(caller: string): Promise<Response> {
    const [host] = await listHosts(this.#member.opened.store.db, [caller]);
    if (host) return Response.json(this.#message());
    return problem(403, new AppError("terminal", `host ${caller} is not in the cluster`));
  }

  #message(): StoreUsersMessage {
    const users = sentUsers(this.#member.opened.rqlited.users);
    return { made_ms: this.#madeMs, users: [...users] };
  }

  async #adopt({ made_ms, users }: StoreUsersMessage): Promise<void> {
    if (made_ms <= this.#madeMs) return;
    const { environment, membership, opened } = this.#member;
    await opened.rqlited.replaceUsers(users);
    await writeKeeperPassword(environment, opened.rqlited);
    await membership.update({ store_users_ms: made_ms });
    environment.log.component("cluster").info("took other passwords of the store");
  }

  /** All at once: until the last one has them, hosts refuse what others pass on to them. */
  async #replace(executor: ExecutorOf, wantedMs: number): Promise<void> {
    const { environment } = this.#member;
    const { clock, log, rng } = environment;
    const users: readonly SentUser[] = newUsers(rng);
    const message = {
      made_ms: Math.max(wantedMs, clock.nowMs(), this.#madeMs + 1),
      users: [...users],
    };
    const others = this.#others();
    const links = await Promise.all(others.map(async (id) => ({ id, link: await executor(id) })));
    const told = links.map(async ({ id, link }) => {
      if (!(link instanceof PeerExecutor)) return;
      const body = JSON.stringify(message);
      try {
        const request = { method: "PUT" as const, path: peerPaths.storeUsers, body };
        await link.ask(request, undefined, storeUsersTellMs);
      } catch (thrown) {
        const fields = { hostId: id, error: messageOf(thrown) };
        log.component("cluster").warn("a host does not know the new passwords yet", fields);
      }
    });
    await Promise.all([...told, this.adopt(message)]);
  }

  async #fetch(executor: ExecutorOf): Promise<void> {
    for (const id of this.#others()) {
      const link = await executor(id);
      if (!(link instanceof PeerExecutor)) continue;
      const { body } = await link.ask({ method: "GET", path: peerPaths.storeUsers }, undefined);
      const message: unknown = JSON.parse(new TextDecoder().decode(body));
      if (Value.Check(StoreUsersMessage, message)) await this.adopt(message);
    }
  }

  #others(): readonly string[] {
    const { environment, membership } = this.#member;
    return membership.others(environment.config.host_id).map(({ id }) => id);
  }
}
