// What every driver must do with the directories and processes of an instance. Each implementation
// calls this suite with a host of its own.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { must } from "../../src/base/assert.ts";
import type { Driver, StepContext } from "../../src/orchestrator/driver.ts";
import type { InstancePlacement } from "../../src/plan/placement.ts";
import type { Resource } from "../../src/plan/resource.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";

/** A driver on an empty host. */
export interface DriverBench {
  readonly driver: Driver;
  readonly context: StepContext;
  /** Names the living process of a role: another name is another process; undefined = none. */
  readonly identity: (role: "keeper" | "fencer", instanceId: string) => string | undefined;
  /** Ends the process as a crash would. */
  readonly crash: (role: "keeper" | "fencer", instanceId: string) => Promise<void>;
  readonly exists: (path: string) => Promise<boolean>;
  /** Waits until the condition holds; throws when it takes too long. */
  readonly until: (condition: () => boolean) => Promise<void>;
  readonly close: () => Promise<void>;
}

const placement: InstancePlacement = {
  instanceId: "shop-n1-0f3k2m1q",
  databaseId: "shop",
  nodeName: "n1",
  hostId: "h1",
  postgresMajor: 15,
};
const id = placement.instanceId;

export function driverContract(name: string, open: () => Promise<DriverBench>): void {
  describe(`driver: ${name}`, () => {
    let bench: DriverBench;
    beforeEach(async () => {
      bench = await open();
    });
    afterEach(() => bench.close());

    test("says the same of the same instance, and nothing twice", () => {
      const { driver, context } = bench;
      const twice = [0, 1].map(() => driver.resources(placement, context.host));
      expect(twice[0]).toEqual(must(twice[1], "second answer"));
      expect(twice[0]?.map(({ kind }) => kind)).toEqual(["filesystem.dir", "instance.keeper"]);
      expect(must(twice[0], "resources")[1]?.dependsOn).toEqual([`filesystem.dir::${id}`]);
      const places = Object.values(driver.layout(placement, context.host));
      expect(new Set(places).size).toBe(places.length);
      const other = driver.layout({ ...placement, instanceId: "shop-n2-0f3k2m1q" }, context.host);
      expect(places.filter((place) => Object.values(other).includes(place))).toEqual([]);
    });

    test("limits show in the inputs, so that a change is seen", () => {
      const inputs = (change: Partial<InstancePlacement>) =>
        bench.driver.resources({ ...placement, ...change }, bench.context.host)[1]?.inputs;
      expect(inputs({ cpus: 0.5 })).not.toEqual(must(inputs({}), "inputs"));
      expect(inputs({ memoryBytes: 1 })).not.toEqual(must(inputs({}), "inputs"));
    });

    test("an instance is made, seen, and removed without a trace", async () => {
      const { driver, context } = bench;
      const [directories, keeper] = made(bench);
      const layout = driver.layout(placement, context.host);
      expect(await driver.observe(context)).toEqual([]);
      await driver.ensure(directories, context);
      expect(await bench.exists(layout.data_dir)).toBe(true);
      await driver.ensure(keeper, context, fileOf(bench));
      const running = { instanceId: id, keeper: "running", fencer: "running" } as const;
      expect(await driver.observe(context)).toEqual([running]);
      await driver.remove(keeper, context);
      expect(await driver.observe(context)).toEqual([]);
      expect([bench.identity("keeper", id), bench.identity("fencer", id)]).toEqual([
        undefined,
        undefined,
      ]);
      expect(await bench.exists(layout.keeper_file)).toBe(false);
      expect(await bench.exists(layout.data_dir)).toBe(true);
      await driver.remove(directories, context);
      for (const path of [layout.base_dir, layout.run_dir, layout.fencer_socket]) {
        expect(await bench.exists(path)).toBe(false);
      }
    }, 30_000);

    test("every effect can be repeated", async () => {
      const { driver, context } = bench;
      const [directories, keeper] = made(bench);
      await driver.remove(keeper, context);
      await driver.remove(directories, context);
      await driver.ensure(directories, context);
      await driver.ensure(directories, context);
      await driver.ensure(keeper, context, fileOf(bench));
      const before = [bench.identity("keeper", id), bench.identity("fencer", id)];
      expect(before).not.toContain(undefined);
      await driver.ensure(keeper, context, fileOf(bench));
      expect([bench.identity("keeper", id), bench.identity("fencer", id)]).toEqual(before);
      await driver.remove(keeper, context);
      await driver.remove(keeper, context);
      await driver.remove(directories, context);
      await driver.remove(directories, context);
    }, 30_000);

    test("a step that was cancelled does nothing", async () => {
      const { driver, context } = bench;
      const [directories, keeper] = made(bench);
      const cancelled = { ...context, signal: AbortSignal.abort() };
      await expect(driver.ensure(directories, cancelled)).rejects.toThrow();
      await expect(driver.ensure(keeper, cancelled, fileOf(bench))).rejects.toThrow();
      expect(await driver.observe(context)).toEqual([]);
    });

    test("a resource of another kind, or a keeper without its file, is a bug", async () => {
      const { driver, context } = bench;
      const [directories, keeper] = made(bench);
      const other: Resource = { ...directories, kind: "database.instance" };
      await expect(driver.ensure(other, context)).rejects.toThrow("does not make");
      await expect(driver.ensure(keeper, context)).rejects.toThrow("keeper file");
    });
  });
}

/** For drivers that keep processes alive themselves or have a service manager do it. */
export function supervisionContract(name: string, open: () => Promise<DriverBench>): void {
  describe(`supervision: ${name}`, () => {
    let bench: DriverBench;
    beforeEach(async () => {
      bench = await open();
      const [directories, keeper] = made(bench);
      await bench.driver.ensure(directories, bench.context);
      await bench.driver.ensure(keeper, bench.context, fileOf(bench));
    }, 30_000);
    afterEach(() => bench.close(), 30_000);

    test("a changed keeper file reaches the keeper, and the fencer does not notice", async () => {
      const { driver, context } = bench;
      const before = { keeper: bench.identity("keeper", id), fencer: bench.identity("fencer", id) };
      const changed = { ...fileOf(bench), log_level: "debug" };
      await driver.ensure(made(bench)[1], context, changed);
      expect(bench.identity("fencer", id)).toBe(must(before.fencer, "fencer"));
      expect(bench.identity("keeper", id)).not.toBe(must(before.keeper, "keeper"));
    }, 30_000);

    test("the dead are started again, the living and the unwanted are left alone", async () => {
      const { driver, context } = bench;
      const stop = new AbortController();
      const supervised = driver.supervise({ ...context, signal: stop.signal }, () => [
        id,
        "not-made-00000000",
      ]);
      const fencer = bench.identity("fencer", id);
      await bench.crash("keeper", id);
      await bench.until(() => bench.identity("keeper", id) !== undefined);
      expect(bench.identity("fencer", id)).toBe(must(fencer, "fencer"));
      const keeper = bench.identity("keeper", id);
      await bench.crash("fencer", id);
      await bench.until(() => bench.identity("fencer", id) !== undefined);
      expect(bench.identity("keeper", id)).toBe(must(keeper, "keeper"));
      stop.abort();
      await supervised;
      expect((await driver.observe(context)).map(({ instanceId }) => instanceId)).toEqual([id]);
    }, 30_000);
  });
}

/** The instance's resources. */
export function made(bench: DriverBench): readonly [Resource, Resource] {
  const [directories, keeper] = bench.driver.resources(placement, bench.context.host);
  return [must(directories, "directories"), must(keeper, "keeper")];
}

/** The instance's keeper file. */
export function fileOf(bench: DriverBench): KeeperFile {
  return {
    instance_id: id,
    database_id: placement.databaseId,
    node_name: placement.nodeName,
    host_id: placement.hostId,
    layout: bench.driver.layout(placement, bench.context.host),
    postgres_user: bench.context.host.postgresUser,
    store_urls: ["http://127.0.0.1:1"],
    store_username: "keeper",
    store_password_file: "/nonexistent",
    log_level: "info",
  };
}
