// What a schema cannot say about a machine that is to become a host.
import type { Diagnostic } from "../base/result.ts";
import type { AddHostRequest, SshJump } from "./add-host.ts";
import { identifierProblem } from "./ids.ts";
import { problem } from "./problem.ts";

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*$/i;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}=?$/;
const PUBLIC_KEY =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+=*(?: .*)?$/;
const PRIVATE_KEY = /-----BEGIN (?:OPENSSH|RSA|EC|ENCRYPTED)? ?PRIVATE KEY-----/;

/** Everything that is wrong with the request itself. */
export function addHostProblems(request: AddHostRequest): readonly Diagnostic[] {
  const { id, ssh, random_ports: ports } = request;
  const identifier = identifierProblem(id);
  const addresses = [
    ["ssh.address", ssh.address],
    ...(ssh.jump ? [["ssh.jump.address", ssh.jump.address]] : []),
    ...(request.peer_addresses ?? []).map((address, n) => [`peer_addresses[${n}]`, address]),
    ...(request.client_addresses ?? []).map((address, n) => [`client_addresses[${n}]`, address]),
  ] as const;
  return [
    ...(identifier === undefined ? [] : [problem("id", "malformed", identifier)]),
    ...addresses.flatMap(([path = "", address = ""]) =>
      isAddress(address)
        ? []
        : [problem(path, "malformed", "must be an IP address or a host name")],
    ),
    ...wayProblems("ssh", ssh, true),
    ...(ssh.jump ? wayProblems("ssh.jump", ssh.jump, false) : []),
    ...pathProblems(request),
    ...(ports && ports.min > ports.max
      ? [problem("random_ports.min", "malformed", "must not be more than random_ports.max")]
      : []),
  ];
}

/** `needed`: without credentials there is no way; a jump host takes those of the host. */
function wayProblems(path: string, way: SshJump, needed: boolean): readonly Diagnostic[] {
  const { private_key: key, agent, passphrase, host_key: hostKey } = way;
  const problems: Diagnostic[] = [];
  if (key !== undefined && agent !== undefined) {
    problems.push(problem(path, "conflict", "takes a private_key or an agent, not both"));
  }
  if (key === undefined && agent === undefined && needed) {
    problems.push(problem(path, "required", "needs a private_key or an agent"));
  }
  if (key !== undefined && !PRIVATE_KEY.test(key)) {
    const hint = "it begins with -----BEGIN OPENSSH PRIVATE KEY----- or the like";
    problems.push(problem(`${path}.private_key`, "malformed", "is no private key", hint));
  }
  if (passphrase !== undefined && key === undefined) {
    const message = "belongs to a private_key, and there is none";
    problems.push(problem(`${path}.passphrase`, "conflict", message));
  }
  if (hostKey !== "learn" && !FINGERPRINT.test(hostKey) && !PUBLIC_KEY.test(hostKey.trim())) {
    const message = "must be a public key of the host, its fingerprint SHA256:…, or `learn`";
    problems.push(problem(`${path}.host_key`, "malformed", message));
  }
  return problems;
}

function pathProblems(request: AddHostRequest): readonly Diagnostic[] {
  const { data_dir, run_dir, instance_dir, bin_dirs = [] } = request;
  const paths = [
    ...Object.entries({ data_dir, run_dir, instance_dir }).map(
      ([name, path]) => [name, path, 2] as const,
    ),
    ...bin_dirs.map((path, n) => [`bin_dirs[${n}]`, path, 1] as const),
  ];
  return paths.flatMap(([name, path, partsMin]) => {
    if (path === undefined) return [];
    const parts = path.split("/").slice(1);
    const plain = parts.every((part) => part !== "" && part !== "." && part !== "..");
    if (plain && parts.length >= partsMin) return [];
    const message =
      partsMin > 1
        ? "must be an absolute path of at least two parts, without . or .. or a slash at its end"
        : "must be an absolute path, without . or .. or a slash at its end";
    return [problem(name, "malformed", message)];
  });
}

/** An IP address, or a name by RFC 1123 section 2.1. */
function isAddress(text: string): boolean {
  if (IPV4.test(text) || IPV6.test(text)) return true;
  const labels = text.split(".");
  return labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
}
