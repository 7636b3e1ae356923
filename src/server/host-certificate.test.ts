// The host's certificate is kept as long as it is good, and replaced when it is not.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../base/fake-clock.ts";
import { seededRng } from "../base/rng.ts";
import { keyFingerprint } from "../peer/credentials.ts";
import { createAuthority } from "../pki/authority.ts";
import { HostCertificate } from "./host-certificate.ts";

const dataDir = mkdtempSync(join(tmpdir(), "pgherd-certificate-"));
afterAll(() => rmSync(dataDir, { recursive: true }));

const nobody = async () => {};

test("a good certificate is not renewed, by any of the names that it is for", async () => {
  const clock = new FakeClock();
  const rng = seededRng(1);
  const authority = await createAuthority("test", clock.nowMs(), rng);
  const deps = { dataDir, hostId: "h1", authority, clock, rng };
  for (const addresses of [["10.0.0.1"], ["fd00::1", "10.0.0.1"], ["one.example", "10.0.0.1"]]) {
    const certificate = await HostCertificate.open({ ...deps, addresses });
    const { cert } = certificate.tls();
    expect(await certificate.renew(false, nobody)).toBe(false);
    expect((await HostCertificate.open({ ...deps, addresses })).tls().cert).toBe(cert);
    expect((await HostCertificate.open({ ...deps, addresses: ["10.0.0.9"] })).tls().cert).not.toBe(
      cert,
    );
  }
});

test("it is renewed when two thirds of its time are over, or when it must be", async () => {
  const clock = new FakeClock();
  const rng = seededRng(2);
  const authority = await createAuthority("test", clock.nowMs(), rng);
  const deps = { dataDir, hostId: "h1", addresses: ["10.0.0.1"], authority, clock, rng };
  const certificate = await HostCertificate.open(deps);
  const { cert } = certificate.tls();
  await clock.advance(19 * 86_400_000);
  expect(await certificate.renew(false, nobody)).toBe(false);
  expect(certificate.tls().cert).toBe(cert);
  const told: (readonly string[])[] = [];
  const announce = async () => {
    expect(certificate.tls().cert).toBe(cert);
    told.push(certificate.keys());
  };
  expect(await certificate.renew(true, announce)).toBe(true);
  expect(told).toEqual([[keyFingerprint(cert), keyFingerprint(certificate.tls().cert)]]);
  expect(certificate.keys()).toEqual([keyFingerprint(certificate.tls().cert)]);
  const second = certificate.tls().cert;
  expect(second).not.toBe(cert);
  await clock.advance(21 * 86_400_000);
  expect(await certificate.renew(false, nobody)).toBe(true);
  expect(certificate.tls().cert).not.toBe(second);
});
