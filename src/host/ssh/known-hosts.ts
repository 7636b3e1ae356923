// Which host key is the right one. There is no policy that takes any key: what is not pinned has to
// be learned, and someone is told.
import { createHash } from "node:crypto";
import { AppError } from "../../base/errors.ts";

/** A public key of a host in both forms that people pass on. */
export interface HostKey {
  /** E.g. "ssh-ed25519". */
  readonly type: string;
  /** As ssh-keygen -l prints it: "SHA256:" and unpadded base64. */
  readonly fingerprint: string;
  /** As in /etc/ssh/ssh_host_*_key.pub, without the comment: type and base64. */
  readonly key: string;
}

/** What to expect. `onLearn` may refuse by throwing; afterwards the key is pinned for this process. */
export type HostKeyPolicy =
  | { readonly kind: "pinned"; readonly fingerprint: string }
  | { readonly kind: "pinned"; readonly key: string }
  | { readonly kind: "learn"; readonly onLearn: (key: HostKey) => void | Promise<void> };

/** Signature algorithms that a key type can prove itself with (RFC 8332 for RSA; never SHA-1). */
const SIGNATURES: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};

/** Decides on the keys that one host shows. Keeps what it learned. */
export class HostKeyCheck {
  #policy: HostKeyPolicy;

  constructor(policy: HostKeyPolicy) {
    this.#policy = policy;
    if (policy.kind === "pinned") checkPin(policy);
  }

  /** Algorithms to ask the host for: a pinned key can only be shown by those of its type. */
  algorithms(): readonly string[] {
    const type = pinnedType(this.#policy);
    return type === undefined ? Object.values(SIGNATURES).flat() : (SIGNATURES[type] ?? []);
  }

  /** Throws a terminal AppError when the shown key (its wire form) is not the right one. */
  async verify(blob: Uint8Array): Promise<void> {
    const shown = describeHostKey(blob);
    const policy = this.#policy;
    if (policy.kind === "learn") {
      await policy.onLearn(shown);
      this.#policy = { kind: "pinned", key: shown.key };
      return;
    }
    const [pinned, found] =
      "key" in policy
        ? [normalisedKey(policy.key), shown.key]
        : [policy.fingerprint.replace(/=+$/, ""), shown.fingerprint];
    if (pinned === found) return;
    const expected = "key" in policy ? describeText(policy.key).fingerprint : pinned;
    throw new AppError(
      "terminal",
      `the host shows ${shown.type} ${shown.fingerprint}, not the pinned ${expected}: ` +
        "another machine answers, or its keys were made anew",
    );
  }
}

/** A host key from its wire form (RFC 4253 section 6.6): it begins with its own type. */
export function describeHostKey(blob: Uint8Array): HostKey {
  const bytes = Buffer.from(blob);
  const type = bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString("latin1");
  const digest = createHash("sha256").update(bytes).digest("base64").replace(/=+$/, "");
  return { type, fingerprint: `SHA256:${digest}`, key: `${type} ${bytes.toString("base64")}` };
}

function describeText(key: string): HostKey {
  return describeHostKey(Buffer.from(normalisedKey(key).split(" ")[1] ?? "", "base64"));
}

/** Type and base64, without comment. */
function normalisedKey(key: string): string {
  return key.trim().split(/\s+/).slice(0, 2).join(" ");
}

function pinnedType(policy: HostKeyPolicy): string | undefined {
  return policy.kind === "pinned" && "key" in policy
    ? normalisedKey(policy.key).split(" ")[0]
    : undefined;
}

function checkPin(policy: HostKeyPolicy & { readonly kind: "pinned" }): void {
  if ("fingerprint" in policy) {
    if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(policy.fingerprint)) return;
    throw new AppError("terminal", `"${policy.fingerprint}" is not a fingerprint: SHA256:<base64>`);
  }
  const [type, base64] = normalisedKey(policy.key).split(" ");
  const known = type !== undefined && SIGNATURES[type] !== undefined;
  const prefix = Buffer.from(base64 ?? "", "base64").subarray(4, 4 + (type?.length ?? 0));
  if (known && prefix.toString("latin1") === type) return;
  throw new AppError("terminal", `"${policy.key.slice(0, 40)}" is not a public key of a host`);
}
