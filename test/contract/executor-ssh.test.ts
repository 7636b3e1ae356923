// Runs the executor suite over a real sshd: as root, as a user who becomes root by sudo, as an ordinary
// user, without SFTP, and through a jump host.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { SshTarget } from "../../src/host/ssh/connect.ts";
import { SshConnection, type SshOptions } from "../../src/host/ssh/pool.ts";
import { SshExecutor } from "../../src/host/ssh/ssh-executor.ts";
import { shellPrograms } from "../support/shell-programs.ts";
import { makeUser, sshdMissing, startSshd } from "../support/sshd.ts";
import { executorContract } from "./executor.ts";

const missing = sshdMissing();
// A login shell may take its time for its start files, at every command.
setDefaultTimeout(20_000);

if (missing !== undefined) {
  console.log(`executor over ssh: skipped: ${missing}`);
  test.skip(`executor over ssh: ${missing}`, () => undefined);
} else {
  const sshd = await startSshd();
  const bare = await startSshd(["Subsystem sftp /bin/false"]);
  const sudoer = makeUser({ sudo: true });
  const ordinary = makeUser({ sudo: false, shell: "/bin/sh" });
  const kept: SshConnection[] = [];
  afterAll(async () => {
    for (const connection of kept) await connection.close();
    await sshd.stop();
    await bare.stop();
    sudoer.remove();
    ordinary.remove();
  });
  const connect = (target: SshTarget, options: SshOptions = {}) => {
    const connection = new SshConnection(target, systemClock, options);
    kept.push(connection);
    return connection;
  };
  const suite = (name: string, connection: SshConnection, user: string) =>
    executorContract(`ssh, ${name}`, async () => {
      const scratch = mkdtempSync(join(tmpdir(), "pgherd-ssh-"));
      chmodSync(scratch, 0o755);
      if (user === ordinary.name) {
        const home = statSync(`/home/${user}`);
        chownSync(scratch, home.uid, home.gid);
      }
      return {
        executor: new SshExecutor(connection, systemClock),
        scratch,
        user,
        otherUser: user === "root" ? "nobody" : undefined,
        programs: shellPrograms,
        close: async () => rmSync(scratch, { recursive: true, force: true }),
      };
    });

  suite("as root", connect(sshd.target()), "root");
  suite("as root by sudo", connect(sshd.target({ user: sudoer.name, become: "sudo" })), "root");
  suite("as an ordinary user", connect(sshd.target({ user: ordinary.name })), ordinary.name);
  const noSftp = { kind: "pinned", key: bare.hostKeys.ed25519 } as const;
  const privateKey = bare.authorise("second", "-t", "ed25519");
  suite(
    "without SFTP",
    connect(bare.target({ hostKey: noSftp, auth: { kind: "key", privateKey } })),
    "root",
  );
  const jump = connect(sshd.target({ hostId: "jump" }));
  suite("through a jump host", connect(sshd.target(), { jump }), "root");

  test("a login user may not become root when sudo asks for a password", async () => {
    const connection = connect(sshd.target({ user: ordinary.name, become: "sudo" }));
    const run = new SshExecutor(connection, systemClock).run({ argv: ["true"] });
    await expect(run).rejects.toMatchObject({ kind: "terminal", phase: "channel" });
    await expect(run).rejects.toThrow(/sudo/);
  });
}
