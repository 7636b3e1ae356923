import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { FakeClock } from "../base/fake-clock.ts";
import { seededRng } from "../base/rng.ts";
import { FakeHost } from "../host/fake.ts";
import { createAuthority } from "../pki/authority.ts";
import { ensureCertificates } from "./certificates.ts";

const directory = "/var/lib/postgresql/17/shop/certificates";
const server_names = ["host-1.example.com", "10.0.0.1", "::1"];
const DAY_MS = 86_400_000;

async function world() {
  const clock = new FakeClock();
  const host = new FakeHost("host-1", clock);
  await host.mkdir(directory, { mode: 0o700 });
  const issuer = await createAuthority("test", clock.nowMs(), seededRng(1));
  const ensure = (names: string[] = server_names, nowMs = clock.nowMs(), authority = issuer) =>
    ensureCertificates({
      executor: host,
      inputs: { directory, owner: "postgres", server_names: names },
      issuer: authority,
      instanceId: "shop-n1-abcdefgh",
      nowMs,
      signal: new AbortController().signal,
    });
  const read = async (name: string) =>
    new TextDecoder().decode(await host.get(`${directory}/${name}`));
  return { clock, host, issuer, ensure, read };
}

test("writes seven files, keys for their owner alone, and nothing the second time", async () => {
  const { ensure, host, read } = await world();
  expect(await ensure()).toEqual(["ca", "server", "superuser", "replication"]);
  expect(host.files().filter((file) => file.includes(".key"))).toEqual(
    ["replication", "server", "superuser"].map(
      (name) => `${directory}/${name}.key file 600 postgres`,
    ),
  );
  const superuser = new X509Certificate(await read("superuser.crt"));
  expect(superuser.subject).toBe("CN=pgedge");
  expect(new X509Certificate(await read("server.crt")).checkHost("host-1.example.com")).toBe(
    "host-1.example.com",
  );
  expect(await ensure()).toEqual([]);
});

test("replaces what is near its end, for other names, damaged or from another authority", async () => {
  const { clock, ensure, host } = await world();
  await ensure();
  expect(await ensure([...server_names, "10.0.0.9"])).toEqual(["server"]);
  const sixtyOneDays = clock.nowMs() + 61 * DAY_MS;
  expect(await ensure([...server_names, "10.0.0.9"], sixtyOneDays)).toHaveLength(3);
  const other = await createAuthority("other", clock.nowMs(), seededRng(2));
  expect(await ensure([...server_names, "10.0.0.9"], clock.nowMs(), other)).toHaveLength(4);
  await host.put(`${directory}/replication.key`, "garbage", { mode: 0o600 });
  await host.remove(`${directory}/superuser.crt`);
  expect(await ensure([...server_names, "10.0.0.9"], clock.nowMs(), other)).toEqual([
    "superuser",
    "replication",
  ]);
});

test("a key without its own certificate is not believed", async () => {
  const { ensure, host, read } = await world();
  await ensure();
  await host.put(`${directory}/server.key`, await read("superuser.key"), { mode: 0o600 });
  expect(await ensure()).toEqual(["server"]);
});
