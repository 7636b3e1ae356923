// The way to a host without a server: its connection, from the place in its record and the sealed
// credentials, or from a request that wants to make it a host.
import type { Clock } from "../../base/clock.ts";
import { Secret } from "../../base/secret.ts";
import type { Executor } from "../../host/executor.ts";
import type { SshAuth, SshTarget } from "../../host/ssh/connect.ts";
import type { HostKey, HostKeyPolicy } from "../../host/ssh/known-hosts.ts";
import { SshConnection } from "../../host/ssh/pool.ts";
import { SshExecutor } from "../../host/ssh/ssh-executor.ts";
import type { SshAccess, SshJump } from "../../spec/add-host.ts";
import type { SshRecord } from "../../spec/host.ts";
import type { Sealer } from "../../store/sealing.ts";

/** An executor with the connection under it. */
export interface SshWay {
  readonly executor: Executor;
  /** Keys that were taken on first use, in this use. */
  readonly learned: () => { readonly own?: HostKey; readonly jump?: HostKey };
  readonly close: () => Promise<void>;
}

type Credentials = Pick<SshJump, "private_key" | "passphrase" | "agent">;

interface StoredCredentials extends Credentials {
  readonly jump?: Credentials;
}

/** Opens nothing yet. Throws a terminal AppError for a host key that is none. */
export function openWay(hostId: string, access: SshAccess, clock: Clock): SshWay {
  const learned: { own?: HostKey; jump?: HostKey } = {};
  const { jump } = access;
  const credentials = hasCredentials(jump) ? jump : { ...jump, ...credentialsOf(access) };
  const onJumpKey = (key: HostKey) => {
    learned.jump = key;
  };
  const through =
    jump && new SshConnection(targetOf(hostId, { ...jump, ...credentials }, onJumpKey), clock);
  const target = targetOf(hostId, access, (key) => {
    learned.own = key;
  });
  const become = access.sudo ?? (access.user ?? "root") !== "root";
  const connection = new SshConnection(
    become ? { ...target, become: "sudo" } : target,
    clock,
    through ? { jump: through } : {},
  );
  return {
    executor: new SshExecutor(connection, clock),
    learned: () => learned,
    async close() {
      await connection.close();
      await through?.close();
    },
  };
}

/** What is stored of a request: places, keys of hosts as they were shown, credentials sealed. */
export function recordWay(
  hostId: string,
  access: SshAccess,
  learned: ReturnType<SshWay["learned"]>,
  sealer: Sealer,
): Omit<SshRecord, "bin_dirs"> {
  const { jump } = access;
  const stored: StoredCredentials = {
    ...credentialsOf(access),
    ...(jump && hasCredentials(jump) ? { jump: credentialsOf(jump) } : {}),
  };
  const text = new Secret(JSON.stringify(stored));
  return {
    ...placeOf(access, learned.own),
    sudo: access.sudo ?? (access.user ?? "root") !== "root",
    ...(jump ? { jump: placeOf(jump, learned.jump) } : {}),
    sealed: sealer.seal(text, contextOf(hostId)),
  };
}

/** The request that a record was made from. Throws a terminal AppError when it cannot be unsealed. */
export function accessOf(hostId: string, record: SshRecord, sealer: Sealer): SshAccess {
  const { sealed, jump, bin_dirs: _bin_dirs, ...place } = record;
  const opened = sealer.open(sealed, contextOf(hostId)).reveal();
  const { jump: jumpCredentials, ...credentials }: StoredCredentials = JSON.parse(opened);
  return {
    ...place,
    ...credentials,
    ...(jump ? { jump: { ...jump, ...jumpCredentials } } : {}),
  };
}

function targetOf(hostId: string, access: SshJump, onLearn: (key: HostKey) => void): SshTarget {
  return {
    hostId,
    address: access.address,
    port: access.port ?? 22,
    user: access.user ?? "root",
    auth: authOf(access),
    hostKey: policyOf(access.host_key, onLearn),
  };
}

function authOf({ private_key, passphrase, agent }: Credentials): SshAuth {
  if (private_key === undefined) return { kind: "agent", socket: agent ?? "" };
  return {
    kind: "key",
    privateKey: new Secret(private_key),
    ...(passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }),
  };
}

function policyOf(text: string, onLearn: (key: HostKey) => void): HostKeyPolicy {
  if (text === "learn") return { kind: "learn", onLearn };
  return text.startsWith("SHA256:")
    ? { kind: "pinned", fingerprint: text }
    : { kind: "pinned", key: text };
}

function placeOf(access: SshJump, learned: HostKey | undefined) {
  const { address, port = 22, user = "root", host_key } = access;
  return { address, port, user, host_key: learned?.key ?? host_key };
}

function hasCredentials(access: Credentials | undefined): boolean {
  return access?.private_key !== undefined || access?.agent !== undefined;
}

function credentialsOf({ private_key, passphrase, agent }: Credentials): Credentials {
  return {
    ...(private_key === undefined ? {} : { private_key }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(agent === undefined ? {} : { agent }),
  };
}

function contextOf(hostId: string): string {
  return `hosts/${hostId}/ssh`;
}
