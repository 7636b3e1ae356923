import { expect, test } from "bun:test";
import type { AddHostRequest } from "./add-host.ts";
import { addHostProblems } from "./validate-add-host.ts";

const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n";
const fingerprint = `SHA256:${"a".repeat(43)}`;
const good: AddHostRequest = {
  id: "db7",
  ssh: { address: "db7.example.com", private_key: key, host_key: fingerprint },
};
const paths = (request: AddHostRequest) => addHostProblems(request).map(({ path }) => path);
const withSsh = (ssh: Partial<AddHostRequest["ssh"]>) =>
  paths({ ...good, ssh: { ...good.ssh, ...ssh } });

test("what is right is accepted", () => {
  expect(paths(good)).toEqual([]);
  for (const address of ["10.0.0.7", "fd00::7", "db7", "a_b.example.com"]) {
    expect(withSsh({ address })).toEqual([]);
  }
  for (const host_key of ["learn", `${fingerprint}=`, "ssh-ed25519 AAAAC3Nz root@db7"]) {
    expect(withSsh({ host_key })).toEqual([]);
  }
  const jump = { address: "gate", host_key: "learn" };
  expect(withSsh({ jump })).toEqual([]);
  const { private_key: _none, ...ssh } = good.ssh;
  expect(paths({ ...good, ssh: { ...ssh, agent: "/run/agent" } })).toEqual([]);
});

test("every mistake is told, with its field", () => {
  for (const address of ["256.1.1.1", "a..b", "-x", "1.2.3"]) {
    expect(withSsh({ address })).toEqual(["ssh.address"]);
  }
  expect(withSsh({ host_key: "SHA256:abc" })).toEqual(["ssh.host_key"]);
  expect(withSsh({ private_key: "ssh-ed25519 AAAA" })).toEqual(["ssh.private_key"]);
  expect(withSsh({ agent: "/run/agent" })).toEqual(["ssh"]);
  expect(withSsh({ jump: { address: "gate", host_key: "no", passphrase: "x" } })).toEqual([
    "ssh.jump.passphrase",
    "ssh.jump.host_key",
  ]);
  const { private_key: _none, ...ssh } = good.ssh;
  expect(paths({ ...good, ssh })).toEqual(["ssh"]);
  expect(
    paths({
      ...good,
      id: "DB7",
      data_dir: "/x",
      run_dir: "/run/../etc",
      instance_dir: "/srv/pg/",
      bin_dirs: ["/usr//bin"],
      client_addresses: ["a..b"],
      random_ports: { min: 9_000, max: 8_000 },
    }).sort(),
  ).toEqual([
    "bin_dirs[0]",
    "client_addresses[0]",
    "data_dir",
    "id",
    "instance_dir",
    "random_ports.min",
    "run_dir",
  ]);
});
