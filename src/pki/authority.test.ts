import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { systemClock } from "../base/clock.ts";
import { systemRng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
  loadAuthority,
  renewAfter,
} from "./authority.ts";
import { joinTokenFingerprint, newJoinToken, sameJoinToken } from "./join-token.ts";

const DAY_MS = 86_400_000;
const nowMs = systemClock.nowMs();
let directory: string;
let ca: Authority;
let server: IssuedCertificate;
let client: IssuedCertificate;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pgherd-pki-"));
  ca = await createAuthority("pgherd test cluster", nowMs, systemRng);
  const addresses = ["10.1.2.3", "fd00::1", "db.example.org", "127.0.0.1"];
  server = await ca.issue({ purpose: "server", commonName: "n1", addresses }, nowMs);
  client = await ca.issue({ purpose: "client", commonName: "patroni_replicator" }, nowMs);
  await writeFile(join(directory, "ca.pem"), ca.certificatePem);
  await writeFile(join(directory, "server.pem"), server.certificatePem);
  await writeFile(join(directory, "client.pem"), client.certificatePem);
  await writeFile(join(directory, "server.key"), server.privateKeyPem.reveal());
});
afterAll(() => rm(directory, { recursive: true }));

async function openssl(...args: readonly string[]) {
  const child = Bun.spawn(["openssl", ...args], { cwd: directory, stderr: "pipe", stdout: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, text: out + err };
}

describe("openssl verifies", () => {
  const strict = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose"];
  test.each(["10.1.2.3", "fd00::1"])("the server at %s", async (ip) => {
    const result = await openssl(...strict, "sslserver", "-verify_ip", ip, "server.pem");
    expect(result).toEqual({ code: 0, text: "server.pem: OK\n" });
  });

  test("the server by name, and at no other address or name", async () => {
    const at = (...args: string[]) => openssl(...strict, "sslserver", ...args, "server.pem");
    expect((await at("-verify_hostname", "db.example.org")).code).toBe(0);
    expect((await at("-verify_hostname", "other.example.org")).code).not.toBe(0);
    expect((await at("-verify_ip", "10.1.2.4")).code).not.toBe(0);
  });

  test("the client as a client, and neither as the other", async () => {
    expect((await openssl(...strict, "sslclient", "client.pem")).code).toBe(0);
    expect((await openssl(...strict, "sslserver", "client.pem")).code).not.toBe(0);
    expect((await openssl(...strict, "sslclient", "server.pem")).code).not.toBe(0);
  });

  test("the subject, the curve, and that the key belongs to the certificate", async () => {
    const { text } = await openssl("x509", "-in", "client.pem", "-noout", "-subject", "-text");
    expect(text).toContain("subject=CN = patroni_replicator");
    expect(text).toContain("prime256v1");
    expect(text).toContain("CA:FALSE");
    const certificate = new X509Certificate(server.certificatePem);
    const { code } = await openssl("pkey", "-in", "server.key", "-check", "-noout");
    expect(code).toBe(0);
    const key = await crypto.subtle.importKey(
      "pkcs8",
      Buffer.from(server.privateKeyPem.reveal().replaceAll(/-----[^-]+-----|\s/g, ""), "base64"),
      { name: "ECDSA", namedCurve: "P-256" },
      true,
      ["sign"],
    );
    const { x } = await crypto.subtle.exportKey("jwk", key);
    expect(certificate.publicKey.export({ format: "jwk" })).toMatchObject({ x });
  });

  test("nothing that an end certificate signs", async () => {
    const rogue = await loadAuthority(client.certificatePem, client.privateKeyPem, systemRng);
    const leaf = await rogue.issue({ purpose: "client", commonName: "pgedge" }, nowMs);
    await writeFile(join(directory, "rogue.pem"), leaf.certificatePem);
    const args = ["-untrusted", "client.pem", "rogue.pem"];
    expect((await openssl(...strict, "sslclient", ...args)).code).not.toBe(0);
  });
});

test("times: 90 days, five minutes back, renewal after two thirds", () => {
  const { validFromDate, validToDate } = new X509Certificate(server.certificatePem);
  expect(validFromDate.getTime()).toBe(server.notBeforeMs);
  expect(validToDate.getTime()).toBe(server.notAfterMs);
  expect(nowMs - server.notBeforeMs).toBeWithin(3_600_000, 3_601_000);
  expect(server.notAfterMs - nowMs).toBeWithin(90 * DAY_MS - 1_000, 90 * DAY_MS + 1);
  expect(server.renewAfterMs - nowMs).toBeWithin(59 * DAY_MS, 60 * DAY_MS);
  expect(renewAfter(server.certificatePem)).toBe(server.renewAfterMs);
});

test("a certificate of an hour", async () => {
  const request = { purpose: "client", commonName: "a", validMs: 3_600_000 } as const;
  const { notAfterMs } = await ca.issue(request, nowMs);
  expect(notAfterMs - nowMs).toBeWithin(3_599_000, 3_600_001);
});

test("the authority is loaded from its texts, and not from texts of two", async () => {
  const again = await loadAuthority(ca.certificatePem, ca.privateKeyPem, systemRng);
  expect(again.fingerprint).toBe(ca.fingerprint);
  expect(again.certificatePem).toBe(ca.certificatePem);
  const other = await createAuthority("other", nowMs, systemRng);
  const mixed = loadAuthority(ca.certificatePem, other.privateKeyPem, systemRng);
  expect(await mixed.catch(String)).toContain("the private key is another's");
  const damaged = loadAuthority(ca.certificatePem, new Secret("hunter2"), systemRng);
  expect(await damaged.catch(String)).not.toContain("hunter2");
});

test("names that would be read as something else are refused", async () => {
  for (const commonName of ["", "#04", "a\nb", "x".repeat(65)]) {
    const issued = ca.issue({ purpose: "client", commonName }, nowMs);
    expect(await issued.catch(String)).toContain("not a common name");
  }
  const odd = await ca.issue({ purpose: "client", commonName: "a, CN=b+O=c" }, nowMs);
  expect(new X509Certificate(odd.certificatePem).subject).toBe("CN=a\\, CN=b\\+O=c");
  const nowhere = ca.issue({ purpose: "server", commonName: "a" }, nowMs);
  expect(await nowhere.catch(String)).toContain("needs an address");
});

test("both ends of a mutual TLS connection accept each other", async () => {
  const listening = createServer({
    cert: server.certificatePem,
    key: server.privateKeyPem.reveal(),
    ca: ca.certificatePem,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const seen = new Promise<TLSSocket>((resolve, reject) => {
    listening.once("secureConnection", resolve);
    listening.once("tlsClientError", reject);
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", () => resolve()));
  const address = listening.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const socket = connect({
    host: "127.0.0.1",
    port,
    cert: client.certificatePem,
    key: client.privateKeyPem.reveal(),
    ca: ca.certificatePem,
  });
  const accepted = await seen;
  expect(accepted.authorized).toBe(true);
  expect(accepted.getPeerCertificate().subject.CN).toBe("patroni_replicator");
  socket.destroy();
  accepted.destroy();
  listening.close();
});

describe("join token", () => {
  test("it has the form of the API, names the CA, and differs each time", () => {
    const token = newJoinToken(ca.certificatePem, systemRng);
    expect(token.reveal()).toMatch(/^PGEDGE-[0-9a-f]{64}-[0-9a-f]{32}$/);
    expect(joinTokenFingerprint(token)).toBe(ca.fingerprint);
    const openssl256 = new X509Certificate(ca.certificatePem).fingerprint256;
    expect(ca.fingerprint).toBe(openssl256.replaceAll(":", "").toLowerCase());
    const other = newJoinToken(ca.certificatePem, systemRng);
    expect(sameJoinToken(token, other)).toBe(false);
    expect(sameJoinToken(token, new Secret(token.reveal()))).toBe(true);
    expect(joinTokenFingerprint(new Secret("PGEDGE-x"))).toBeUndefined();
  });
});
