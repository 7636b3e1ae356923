// A standby is made from another member, with every major that is here; and its maker is killed at every stage.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createStandbyMechanics } from "../../agents/keeper/standby/standby.ts";
import { systemClock } from "../../src/base/clock.ts";
import { listProcesses, readArguments } from "../../src/host/process.ts";
import type { CloneOrder } from "../support/clone-process.ts";
import { completeServers, type Member, never, StandbyBench } from "../support/standby-bench.ts";

let bench: StandbyBench;
afterEach(() => bench.close());

const servers = completeServers();
const oldest = servers[0] ?? { major: 15, binDir: "" };
const inBase = (member: Member) => readdirSync(member.file.layout.base_dir);
const kept = (member: Member) => inBase(member).filter((name) => name.startsWith("data.kept-"));
const rows = (member: Member) => member.value("SELECT sum(n) FROM t");

for (const server of servers) {
  test(`PostgreSQL ${server.major}: a clone streams, and a clone of the clone too`, async () => {
    bench = await StandbyBench.open(server);
    const primary = await bench.primary();
    await primary.sql("CREATE TABLE t AS SELECT 1 AS n");
    const standby = await bench.standby(primary);
    const cascaded = await bench.standby(standby);
    await primary.sql("INSERT INTO t VALUES (2)");
    for (const member of [standby, cascaded]) {
      await member.untilCaughtUp(primary);
      expect(await rows(member)).toBe("3");
      const positions = await member.mechanics.positions(await member.session());
      expect(positions).toMatchObject({ inRecovery: true, receiving: true, end: { timeline: 1 } });
      expect(await member.mechanics.confirmClone(never)).toEqual([]);
    }
    expect(await primary.value("SELECT count(*) FROM pg_replication_slots WHERE active")).toBe("1");
    expect(inBase(standby).sort()).toEqual(
      ["certificates", "configs", "data", "log", "pgherd.json"].sort(),
    );
    const marker = JSON.parse(readFileSync(`${standby.dataDir}/pgherd.json`, "utf8"));
    expect(marker).toMatchObject({
      instance_id: standby.id,
      system_identifier: bench.systemIdentifier,
    });
    // The copy's manifest was checked against its files.
    expect(existsSync(`${standby.dataDir}/backup_manifest`)).toBe(true);
  }, 180_000);
}

describe("a maker that is killed", () => {
  for (const stage of ["checking", "copying", "verifying", "finishing"]) {
    test(`while ${stage}: the next one comes to the same end`, async () => {
      bench = await StandbyBench.open(oldest);
      const primary = await bench.primary();
      await primary.sql("CREATE TABLE t AS SELECT 1 AS n");
      const standby = await bench.member();
      // Old data that has to survive until the copy streams.
      await standby.initialise();
      writeFileSync(`${standby.dataDir}/precious`, "data");
      await killAt(standby, primary, stage);
      expect(existsSync(`${standby.dataDir}/precious`) || kept(standby).length === 1).toBe(true);
      await standby.mechanics.inspectLeftovers();
      expect(strays(standby)).toEqual([]);
      await standby.mechanics.cloneFrom(primary.peer, { signal: never });
      await standby.start({ follow: primary });
      await standby.untilCaughtUp(primary);
      expect(await rows(standby)).toBe("1");
      expect(kept(standby)).toHaveLength(1);
      const [name] = kept(standby);
      expect(existsSync(`${standby.file.layout.base_dir}/${name}/precious`)).toBe(true);
      expect(await standby.mechanics.confirmClone(never)).toHaveLength(1);
      expect(kept(standby)).toEqual([]);
      expect(await standby.mechanics.inspectLeftovers()).toBeUndefined();
    }, 180_000);
  }

  test("at random, again and again, while copies that never streamed do not pile up", async () => {
    bench = await StandbyBench.open(oldest);
    const primary = await bench.primary();
    await primary.sql("CREATE TABLE t AS SELECT 1 AS n");
    const standby = await bench.member();
    await standby.initialise();
    writeFileSync(`${standby.dataDir}/precious`, "data");
    for (const ms of [200, 450, 700, 950, 1_200, 1_450]) {
      const maker = spawnMaker(standby, primary);
      await Promise.race([maker.exited, systemClock.sleep(ms)]);
      maker.kill("SIGKILL");
      await maker.exited;
    }
    for (const _ of [1, 2]) await standby.mechanics.cloneFrom(primary.peer, { signal: never });
    const [only, ...more] = kept(standby);
    expect(more).toEqual([]);
    expect(existsSync(`${standby.file.layout.base_dir}/${only}/precious`)).toBe(true);
    await standby.start({ follow: primary });
    await standby.untilCaughtUp(primary);
    expect(await rows(standby)).toBe("1");
  }, 180_000);
});

test("two copies that begin in the same moment are told apart", async () => {
  bench = await StandbyBench.open(oldest);
  const primary = await bench.primary();
  const standby = await bench.member();
  const nowMs = systemClock.nowMs();
  const mechanics = createStandbyMechanics({
    ...standby.deps,
    clock: { ...systemClock, nowMs: () => nowMs },
  });
  await mechanics.cloneFrom(primary.peer, { signal: never });
  writeFileSync(`${standby.dataDir}/of-the-first`, "");
  await mechanics.cloneFrom(primary.peer, { signal: never });
  expect(existsSync(`${standby.dataDir}/of-the-first`)).toBe(false);
  expect(existsSync(`${standby.dataDir}.clone`)).toBe(false);
}, 60_000);

describe("a copy is not made", () => {
  test("of a member with tablespaces, nor when the copy is damaged, nor when it is cancelled", async () => {
    bench = await StandbyBench.open(oldest);
    const primary = await bench.primary();
    const standby = await bench.member();
    const damaged = standby.replaceProgram(
      "pg_basebackup",
      `"$real" "$@" && printf x >> "\${1#--pgdata=}/PG_VERSION"`,
    );
    const clone = (signal = never) => standby.mechanics.cloneFrom(primary.peer, { signal });
    await expect(clone()).rejects.toThrow(/damaged.*PG_VERSION/);
    damaged.restore();
    expect(existsSync(standby.dataDir)).toBe(false);
    const hanging = standby.replaceProgram("pg_basebackup", "exec sleep 60");
    const abort = new AbortController();
    const cancelled = clone(abort.signal);
    await standby.until("the program", async () =>
      existsSync(`${standby.dataDir}.clone`) ? true : undefined,
    );
    abort.abort(new Error("cancelled"));
    await expect(cancelled).rejects.toThrow("cancelled");
    hanging.restore();
    const space = `${bench.directory}/space`;
    Bun.spawnSync(["install", "-d", "-m", "0700", "-o", "postgres", space]);
    await primary.sql(`CREATE TABLESPACE elsewhere LOCATION '${space}'`);
    await expect(clone()).rejects.toThrow(/tablespaces.*elsewhere/);
    await primary.sql("DROP TABLESPACE elsewhere");
    await clone();
    expect(existsSync(`${standby.dataDir}/standby.signal`)).toBe(true);
  }, 180_000);
});

function spawnMaker(standby: Member, primary: Member): Bun.Subprocess<"ignore", "pipe", "ignore"> {
  const order: CloneOrder = { file: standby.file, server: bench.server, peer: primary.peer };
  const script = join(import.meta.dir, "../support/clone-process.ts");
  return Bun.spawn([process.execPath, script, JSON.stringify(order)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
}

/** Kills the maker as soon as it says that it is at this stage. */
async function killAt(standby: Member, primary: Member, stage: string): Promise<void> {
  const maker = spawnMaker(standby, primary);
  let said = "";
  for await (const chunk of maker.stdout) {
    said += new TextDecoder().decode(chunk);
    if (said.includes(stage)) break;
  }
  maker.kill("SIGKILL");
  await maker.exited;
  expect(said).toContain(stage);
}

function strays(member: Member): readonly string[] {
  return listProcesses()
    .map(({ pid }) => readArguments(pid).join(" "))
    .filter((line) => line.includes(`${member.dataDir}.clone`) && line.includes("pg_"));
}
