// The catalogue against a real server's pg_settings, and what follows from it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkParameterNames,
  GUC_CONTEXTS,
  gucAliases,
  gucContext,
  gucMajors,
  gucNames,
  needRestart,
} from "./guc.ts";

const installed = gucMajors.filter((major) =>
  existsSync(`/usr/lib/postgresql/${major}/bin/initdb`),
);

/** pg_settings of a server in single-user mode, as name and context. */
async function realSettings(major: number, dir: string): Promise<Map<string, string>> {
  const bin = `/usr/lib/postgresql/${major}/bin`;
  const data = join(dir, String(major));
  const root = process.getuid?.() === 0;
  const as = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] : [];
  if (root) await Bun.$`chown postgres ${dir}`.quiet();
  await Bun.$`${as} ${bin}/initdb -D ${data} -U postgres --no-sync`.quiet();
  const sql = "copy (select name, context from pg_settings where name !~ '[.]') to stdout\n";
  const child = Bun.spawn([...as, `${bin}/postgres`, "--single", "-D", data, "postgres"], {
    stdin: new Blob([sql]),
    stderr: "ignore",
  });
  const output = await new Response(child.stdout).text();
  const lines = output.split("\n").map((line) => line.replace(/^backend> /, "").split("\t"));
  return new Map(
    lines.flatMap(([name, context]) =>
      name !== undefined && context !== undefined ? [[name.toLowerCase(), context]] : [],
    ),
  );
}

describe("the catalogue equals pg_settings of", () => {
  let dir = "";
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "guc-"));
    await chmod(dir, 0o755);
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test("at least one PostgreSQL is installed here", () => {
    expect(installed.length).toBeGreaterThan(0);
  });

  for (const major of installed) {
    test(`PostgreSQL ${major}`, async () => {
      const real = await realSettings(major, dir);
      expect(real.size).toBeGreaterThan(300);
      const wrong = [...real].filter(([name, context]) => gucContext(name, major) !== context);
      expect(wrong).toEqual([]);
      // A patch of Debian's packages, so not in every build.
      const optional = new Set([...gucAliases, "extension_destdir"]);
      const invented = GUC_CONTEXTS.flatMap((context) => gucNames(context, major)).filter(
        (name) => !real.has(name) && !optional.has(name),
      );
      expect(invented).toEqual([]);
    }, 60_000);
  }
});

describe("needRestart", () => {
  test("names settings of the postmaster only", () => {
    expect(needRestart(["work_mem", "max_connections", "ssl", "shared_buffers"], 17)).toEqual([
      "max_connections",
      "shared_buffers",
    ]);
  });

  test("knows that 18 reloads what 17 restarts for", () => {
    expect(needRestart(["autovacuum_max_workers"], 17)).toEqual(["autovacuum_max_workers"]);
    expect(needRestart(["autovacuum_max_workers"], 18)).toEqual([]);
  });

  test("treats a newer major like the newest known, and ignores case", () => {
    expect(needRestart(["Max_Connections", "autovacuum_max_workers"], 19)).toEqual([
      "Max_Connections",
    ]);
  });

  test("takes extensions' and unknown settings as reloadable", () => {
    expect(needRestart(["spock.save_resolutions", "no_such_thing"], 16)).toEqual([]);
  });
});

describe("checkParameterNames", () => {
  const codes = (names: string[], major = 17) =>
    checkParameterNames(names, major, "postgresql_conf").map(({ path, code }) => [path, code]);

  test("accepts known settings in any case and settings of extensions", () => {
    expect(codes(["work_mem", "DateStyle", "TIMEZONE", "pg_stat_statements.max"])).toEqual([]);
  });

  test("reports every kind of problem at once", () => {
    expect(codes(["shared_bufers", "block_size", "io_method"])).toEqual([
      ["postgresql_conf.shared_bufers", "unknown_parameter"],
      ["postgresql_conf.block_size", "read_only_parameter"],
      ["postgresql_conf.io_method", "unknown_parameter"],
    ]);
    expect(codes(["io_method"], 18)).toEqual([]);
  });

  test("says what was probably meant", () => {
    const [problem] = checkParameterNames(["shared_bufers"], 17, "postgresql_conf");
    expect(problem?.hint).toBe("did you mean shared_buffers?");
  });
});
