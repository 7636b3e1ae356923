// What the settings of an instance are, and that a real server takes every one of them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderConf } from "../postgres/conf.ts";
import { gucMajors } from "../postgres/guc.ts";
import { instanceParameters, type ParameterInput, renderSetting } from "./parameters.ts";

const input: ParameterInput = {
  major: 17,
  memoryBytes: 4 * 1024 ** 3,
  cpus: 2,
  nodes: 1,
  ordinal: 3,
  spock: false,
  layout: {
    base_dir: "/b",
    data_dir: "/b/data",
    config_dir: "/b/configs",
    certificate_dir: "/b/certificates/postgres",
    run_dir: "/run/b",
    log_dir: "/b/log",
    keeper_file: "/b/keeper.json",
    fencer_socket: "/run/b.fencer",
  },
  user: {},
};

describe("instanceParameters", () => {
  test("lets the user's settings win, in any case of letters", () => {
    const user = { WAL_Level: "replica", "spock.save_resolutions": false, work_mem: 8192 };
    expect(instanceParameters({ ...input, spock: true, user })).toMatchObject({
      wal_level: "replica",
      "spock.save_resolutions": "off",
      work_mem: "8192",
    });
  });

  test("names Spock only where it is installed", () => {
    const plain = instanceParameters(input);
    expect(plain.shared_preload_libraries).toBe("pg_stat_statements");
    expect(Object.keys(plain).filter((name) => name.startsWith("spock."))).toEqual([]);
    const spock = instanceParameters({ ...input, spock: true });
    expect(spock.shared_preload_libraries).toBe("pg_stat_statements,spock");
  });
});

describe("renderSetting", () => {
  test("writes numbers without exponent and booleans as words", () => {
    expect([true, false, 1e21, 0.1, -1, "a b"].map(renderSetting)).toEqual([
      "on",
      "off",
      "1000000000000000000000",
      "0.1",
      "-1",
      "a b",
    ]);
  });
});

describe("every generated setting is taken by", () => {
  const installed = gucMajors.filter((major) =>
    existsSync(`/usr/lib/postgresql/${major}/bin/initdb`),
  );
  let dir = "";
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "parameters-"));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test("some PostgreSQL that is installed here", () => {
    expect(installed.length).toBeGreaterThan(0);
  });

  for (const major of installed) {
    test(`PostgreSQL ${major}`, async () => {
      const bin = `/usr/lib/postgresql/${major}/bin`;
      const data = join(dir, String(major));
      const root = process.getuid?.() === 0;
      const as = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : [];
      if (root) await Bun.$`chown postgres ${dir}`.quiet();
      await Bun.$`${as} ${bin}/initdb -D ${data} -U postgres --no-sync`.quiet();
      const conf = renderConf(instanceParameters({ ...input, major, spock: true }), "test");
      await Bun.write(join(data, "postgresql.conf"), conf);
      // Reads and checks the whole file, then prints one setting instead of starting.
      const asked = await Bun.$`${as} ${bin}/postgres -C max_connections -D ${data}`
        .quiet()
        .nothrow();
      expect(asked.stderr.toString()).toBe("");
      expect(asked.stdout.toString().trim()).toBe("450");
    }, 60_000);
  }
});
