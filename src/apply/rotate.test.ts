import { expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { certificateCheckIntervalMs } from "../base/limits.ts";
import { instanceId } from "../spec/ids.ts";

const DAY_MS = 86_400_000;

test("certificates are replaced in time, and PostgreSQL loads them", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker();
  const { task } = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.ended(task);
  const id = instanceId("shop", "n1", "host-1");
  const path = `/var/lib/postgresql/17/${id}/certificates/postgres/server.crt`;
  const first = await world.host.get(path);
  expect(first).toBeDefined();
  await worker.stop();
  await world.clock.advance(59 * DAY_MS);
  const young = world.startWorker();
  await world.clock.advance(certificateCheckIntervalMs);
  await world.keepers.pass();
  expect(world.keepers.answered).not.toContain(`${id} reload`);
  await young.stop();
  await world.clock.advance(2 * DAY_MS);
  const old = world.startWorker();
  await world.until(() => world.keepers.answered.includes(`${id} reload`));
  expect(await world.host.get(path)).not.toEqual(first);
  await old.stop();
});

test("a database whose last change failed keeps its certificates fresh", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker();
  const created = await world.operations.createDatabase({ id: "shop", spec: shopSpec });
  await world.ended(created.task);
  const id = instanceId("shop", "n1", "host-1");
  const path = `/var/lib/postgresql/17/${id}/certificates/postgres/server.crt`;
  const first = await world.host.get(path);
  world.keepers.set(id, "failing");
  const spec = { ...shopSpec, postgresql_conf: { work_mem: "8MB" } };
  const changed = await world.operations.updateDatabase("shop", { spec }, false);
  expect((await world.ended(changed.task)).status).toBe("failed");
  world.keepers.set(id, "healthy");
  await worker.stop();
  await world.clock.advance(61 * DAY_MS);
  const old = world.startWorker();
  await world.until(() => world.keepers.answered.includes(`${id} reload`));
  expect(await world.host.get(path)).not.toEqual(first);
  await old.stop();
});
