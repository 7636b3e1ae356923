// The same life with every further major version that is there (scripts/fetch-postgres.sh brings them).
import { expect, test } from "bun:test";
import { scramVerifier } from "../../src/postgres/scram.ts";
import { fetchedServers, KeptInstance } from "../support/kept-instance.ts";

const servers = fetchedServers();
for (const major of [16, 17, 18]) {
  const server = servers.find((candidate) => candidate.major === major);
  if (!server) console.log(`PostgreSQL ${major} is skipped: scripts/fetch-postgres.sh ${major}`);
  test.skipIf(!server)(`PostgreSQL ${major}`, () => live(server), 60_000);
}

async function live(server: (typeof servers)[number] | undefined): Promise<void> {
  const instance = await KeptInstance.prepare(server);
  try {
    instance.startFencer();
    instance.startKeeper();
    const parameters = { shared_preload_libraries: "" };
    const report = await instance.apply(instance.config({ parameters }));
    expect(report).toMatchObject({ postgres_state: "running", role: "primary" });
    expect(report.postgres_version).toStartWith(`${server?.major}.`);
    const verifier = scramVerifier("pencil", new Uint8Array(16), 4096);
    const app = { name: "app", verifier, attributes: ["LOGIN"], member_of: ["pgedge_superuser"] };
    const roles = { kind: "roles", roles: [app], disabled: [] } as const;
    expect(await instance.request(roles)).toMatchObject({ ok: true });
    expect((await instance.request(roles)).detail).toBe("all roles are as they should be");
    const database = { kind: "database", name: "shop", owner: "app", extensions: [] } as const;
    expect(await instance.request(database)).toMatchObject({ ok: true });
    const script = {
      kind: "script",
      key: "k",
      database: "shop",
      statements: ["CREATE TABLE t()"],
    } as const;
    expect(await instance.request(script)).toMatchObject({ ok: true });
    const tcp = ["-h", "127.0.0.1", "-U", "app", "-d", "shop"];
    expect(await instance.psql(tcp, "SELECT current_user", "pencil")).toBe("app");
    const bad = instance.config({ parameters: { ...parameters, work_mem: "plenty" } });
    await instance.configure(bad);
    await instance.untilReport((r) => r.error?.includes("work_mem") ?? false);
    const ordered = instance.config({ parameters: { ...parameters, max_connections: "25" } });
    await instance.apply({ ...ordered, restart_generation: ordered.generation });
    expect(await instance.query("SHOW max_connections")).toBe("25");
    if ((server?.major ?? 0) >= 17) {
      const provider = "SELECT datlocprovider FROM pg_database WHERE datname = 'shop'";
      expect(await instance.query(provider)).toBe("b");
    }
  } finally {
    await instance.close();
  }
}
