// The password of the REST API on its way from a request to the keeper, and the places where it must not be.
import { expect, test } from "bun:test";
import { shopSpec } from "../../test/support/planning.ts";
import { TaskWorld } from "../../test/support/task-world.ts";
import { verifies } from "../postgres/scram.ts";
import { instanceId } from "../spec/ids.ts";
import { loadInstance } from "../store/instances.ts";
import { resources, taskLog, taskSteps, tasks } from "../store/schema.ts";

test("the keeper gets a verifier; plans, tasks and answers have neither it nor the password", async () => {
  const world = await TaskWorld.create();
  const worker = world.startWorker();
  const { operations, store } = world;
  const password = "s3cret-of-rest";
  const with_ = (given: { readonly username: string; readonly password?: string }) => ({
    ...shopSpec,
    patroni_authentication: given,
  });
  const spec = with_({ username: "ops", password });
  const made = await operations.createDatabase({ id: "shop", spec });
  expect(await world.ended(made.task)).toMatchObject({ status: "completed" });
  const authentication = async () => {
    const instance = await loadInstance(store.db, instanceId("shop", "n1", "host-1"));
    return instance?.config?.rest_authentication;
  };
  const first = await authentication();
  expect(first?.username).toBe("ops");
  expect(verifies(first?.verifier ?? "", password)).toBe(true);

  const kept = await operations.updateDatabase(
    "shop",
    { spec: { ...with_({ username: "ops" }), memory: "1GiB" } },
    false,
  );
  expect(await world.ended(kept.task)).toMatchObject({ status: "completed" });
  expect(await authentication()).toEqual(first);
  const stranger = operations.updateDatabase("shop", { spec: with_({ username: "eve" }) }, false);
  await expect(stranger).rejects.toMatchObject({
    problems: [{ path: "patroni_authentication.password", code: "required" }],
  });

  const shown = [made, kept, await operations.getDatabase("shop")];
  const stored = [
    await store.db.select().from(taskSteps),
    await store.db.select().from(tasks),
    await store.db.select().from(resources),
    await store.db.select().from(taskLog),
  ];
  const texts = JSON.stringify([shown, stored]);
  expect(texts).toContain('"username":"ops"');
  expect(texts).not.toContain(password);
  expect(texts).not.toContain(first?.verifier ?? "");
  await worker.stop();
});
