// The REST API of a real keeper, as load balancers, probes and exporters use it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { scramIterations, scramVerifier } from "../../src/postgres/scram.ts";
import { KeptInstance } from "../support/kept-instance.ts";

let instance: KeptInstance;
beforeAll(async () => {
  instance = await KeptInstance.prepare();
  instance.startFencer();
  instance.startKeeper();
  await instance.apply(instance.config());
}, 30_000);
afterAll(() => instance.close());

const get = (path: string, method = "GET", body?: string) =>
  fetch(instance.url + path, { method, ...(body === undefined ? {} : { body }) });

test("a primary passes and fails the checks that a primary does", async () => {
  for (const path of [
    "/",
    "/primary",
    "/master",
    "/read-write",
    "/leader",
    "/read-only",
    "/health",
    "/liveness",
    "/readiness",
    "/patroni",
    "/cluster",
    "/history",
    "/config",
    "/metrics",
  ]) {
    expect([path, (await get(path)).status]).toEqual([path, 200]);
  }
  for (const path of [
    "/replica",
    "/standby-leader",
    "/sync",
    "/async",
    "/quorum",
    "/no-such-path",
    "/health?tag_x=1",
  ]) {
    expect([path, (await get(path)).status]).toEqual([path, 503]);
  }
  for (const method of ["HEAD", "OPTIONS"]) {
    const answer = await get("/primary", method);
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
    expect((await get("/replica", method)).status).toBe(503);
  }
  expect((await get("/failsafe")).status).toBe(502);
});

test("the status is Patroni's", async () => {
  const status: unknown = await (await get("/patroni")).json();
  expect(status).toMatchObject({
    state: "running",
    role: "primary",
    timeline: 1,
    server_version: expect.any(Number),
    xlog: { location: expect.any(Number) },
    postmaster_start_time: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00:00$/),
    patroni: { scope: "shop:n1", name: instance.id },
  });
  const cluster: unknown = await (await get("/cluster")).json();
  expect(cluster).toMatchObject({
    members: [{ role: "leader", state: "running", port: instance.port }],
  });
  const metrics = await (await get("/metrics")).text();
  expect(metrics).toContain(`patroni_primary{scope="shop:n1",name="${instance.id}"} 1`);
});

test("reload and restart", async () => {
  expect((await get("/reload", "POST")).status).toBe(202);
  const before = await instance.query("SELECT pg_postmaster_start_time()");
  const restarted = await get("/restart", "POST", "{}");
  expect([restarted.status, await restarted.text()]).toEqual([200, "restarted successfully"]);
  expect(await instance.query("SELECT pg_postmaster_start_time()")).not.toBe(before);
  expect((await get("/restart", "POST", '{"role":"replica"}')).status).toBe(503);
  expect((await get("/restart", "DELETE")).status).toBe(404);
  const later = JSON.stringify({ schedule: "2099-01-01T00:00:00+00:00" });
  expect((await get("/restart", "POST", later)).status).toBe(422);
}, 30_000);

test("a user of the spec is asked for by what changes things, as soon as the configuration says so", async () => {
  const password = "s3cret-of-rest";
  const verifier = scramVerifier(password, new Uint8Array(16).fill(5), scramIterations);
  const rest_authentication = { username: "ops", verifier };
  await instance.apply(instance.config({ rest_authentication }));
  const reload = (headers: Record<string, string> = {}) =>
    fetch(`${instance.url}/reload`, { method: "POST", headers });
  const as = (user: string) => ({ authorization: `Basic ${btoa(user)}` });
  const unasked = await reload();
  expect([unasked.status, unasked.headers.get("www-authenticate")]).toEqual([
    401,
    'Basic realm="Patroni"',
  ]);
  expect((await reload(as("ops:wrong"))).status).toBe(401);
  expect((await reload(as(`ops:${password}`))).status).toBe(202);
  expect((await get("/primary")).status).toBe(200);
  expect((await get("/patroni")).status).toBe(200);
  for (const secret of [password, verifier, btoa(`ops:${password}`)]) {
    expect(instance.logs()).not.toContain(secret);
    expect(await (await get("/config")).text()).not.toContain(secret);
  }
  await instance.apply(instance.config());
  expect((await reload()).status).toBe(202);
}, 60_000);

test("a stopped instance is neither primary nor healthy", async () => {
  await instance.apply(instance.config({ run: "stopped" }));
  expect((await get("/primary")).status).toBe(503);
  expect((await get("/health")).status).toBe(503);
  expect(await (await get("/patroni")).json()).toMatchObject({ state: "stopped" });
}, 30_000);
