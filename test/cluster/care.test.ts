// Hosts in operation: labels, maintenance, versions that are installed while the server runs, directories that
// PostgreSQL cannot enter, and a host that takes the place of a dead one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Body, binary, eventually, spec } from "../e2e/harness.ts";
import { TestCluster, type TestHost } from "./members.ts";

setDefaultTimeout(90_000);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.of(3);
});
afterAll(() => cluster.destroy());

async function pgherd(host: TestHost, ...words: readonly string[]) {
  const child = Bun.spawn([binary, ...words], {
    env: { PATH: process.env.PATH ?? "", HOME: cluster.directory, PGHERD_SERVER: host.url },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, out, err };
}

const on = (...hostIds: readonly string[]) =>
  spec({ nodes: hostIds.map((id, index) => ({ name: `n${index + 1}`, host_ids: [id] })) });

async function created(id: string, ...hostIds: readonly string[]): Promise<void> {
  const answer = await cluster.host(1).post("/v1/databases", { id, spec: on(...hostIds) });
  expect([answer.status, answer.body.message]).toEqual([200, undefined]);
  const done = await cluster.host(1).finished(answer.body.task);
  expect(done).toMatchObject({ status: "completed" });
}

test("labels are set, shown by every member, selected by, and taken away", async () => {
  const [first, second] = [cluster.host(1), cluster.host(2)];
  const labels = { zone: "a", "example.com/rack": "7" };
  const { status, body } = await first.request("PATCH", "/v1/hosts/h2", { labels });
  expect([status, body.labels]).toEqual([200, labels]);
  expect((await second.get("/v1/hosts/h2")).body.labels).toEqual(labels);
  const chosen = async (query: string) =>
    (await second.get(`/v1/hosts?${query}`)).body.hosts.map(({ id }: Body) => id);
  expect(await chosen("label=zone%3Da")).toEqual(["h2"]);
  expect(await chosen("label=!zone")).toEqual(["h1", "h3"]);
  expect(await chosen("label=zone&label=zone!%3Da")).toEqual([]);
  const bad = await first.get("/v1/hosts?label=a%3D%3D%3Db%20c&label=%3D");
  expect([bad.status, bad.body.errors[0].path]).toEqual([400, "label[1]"]);
  const wrong = await first.request("PATCH", "/v1/hosts/h2", { labels: { "no no": "x" } });
  expect([wrong.status, wrong.body.errors[0].path]).toEqual([400, "labels.no no"]);
  const typo = await first.request("PATCH", "/v1/hosts/h2", { label: {} });
  expect(typo.status).toBe(400);
  expect((await pgherd(first, "host", "label", "h2", "zone-", "disk=ssd")).code).toBe(0);
  expect((await first.get("/v1/hosts/h2")).body.labels).toEqual({
    "example.com/rack": "7",
    disk: "ssd",
  });
  expect((await pgherd(first, "-o", "name", "host", "list", "-l", "disk=ssd")).out).toBe("h2\n");
  expect((await first.request("PATCH", "/v1/hosts/h9", { labels: {} })).status).toBe(404);
});

test("labels and maintenance survive a restart of the host's server", async () => {
  const second = cluster.host(2);
  await second.stopServer();
  await second.start();
  await second.ready();
  expect((await second.get("/v1/hosts/h2")).body.labels.disk).toBe("ssd");
});

test("a host in maintenance keeps what it has and gets nothing new", async () => {
  const [first, second] = [cluster.host(1), cluster.host(2)];
  await created("kept", "h2");
  const words = ["host", "maintenance", "on", "h2", "--reason", "new disks"];
  expect((await pgherd(first, ...words)).code).toBe(0);
  expect((await second.get("/v1/hosts/h2")).body.maintenance).toMatchObject({
    reason: "new disks",
  });
  expect((await pgherd(second, "host", "list")).out).toMatch(/h2 +healthy,maintenance/);
  const refused = await second.post("/v1/databases", { id: "more", spec: on("h1", "h2") });
  expect([refused.status, refused.body.errors[0].path]).toEqual([400, "nodes[1].host_ids[0]"]);
  expect(refused.body.errors[0].message).toBe(
    "n2: host h2 is in maintenance (new disks): it gets no new instances",
  );
  const change = { ...on("h2"), postgresql_conf: { work_mem: "8MB" } };
  const changed = await first.post("/v1/databases/kept", { spec: change });
  expect([changed.status, changed.body.message]).toEqual([200, undefined]);
  expect(await first.finished(changed.body.task)).toMatchObject({ status: "completed" });
  const drained = await first.request("PUT", "/v1/hosts/h2/maintenance", { drain: true });
  expect([drained.status, drained.body.name]).toEqual([400, "operation_not_supported"]);
  expect(drained.body.message).toContain("database kept: n1");
  expect((await first.request("PUT", "/v1/hosts/h3/maintenance", { drain: true })).status).toBe(
    200,
  );
  expect((await pgherd(first, "host", "maintenance", "off", "h2")).code).toBe(0);
  expect((await first.request("DELETE", "/v1/hosts/h3/maintenance")).body.maintenance).toBe(
    undefined,
  );
  await created("more", "h1", "h2");
});

test("addresses for clients are changed, and given back", async () => {
  const first = cluster.host(1);
  expect((await pgherd(first, "host", "addresses", "h2", "db.example.com")).code).toBe(0);
  expect((await first.get("/v1/hosts/h2")).body.client_addresses).toEqual(["db.example.com"]);
  expect((await pgherd(first, "host", "addresses", "h2")).code).toBe(0);
  expect((await first.get("/v1/hosts/h2")).body.client_addresses).toEqual(["127.0.0.2"]);
});

/** PostgreSQL's programs, as far as a host looks at them. `then` is a line of shell. */
function writePrograms(directory: string, version: string, then = ""): void {
  mkdirSync(directory, { recursive: true });
  const program = (name: string, says: string) =>
    writeFileSync(join(directory, name), `#!/bin/sh\necho '${says}'\n${then}\n`, { mode: 0o755 });
  program("postgres", `postgres (PostgreSQL) ${version}`);
  program("pg_config", "/nowhere");
}

async function versionsOfThird() {
  const { body } = await cluster.host(1).get("/v1/hosts/h3");
  const { details } = body.status.components.postgresql ?? {};
  const supported = body.supported_pgedge_versions.map((each: Body) => each.postgres_version);
  return { supported, told: details?.versions ?? [] };
}

async function restartThirdWith(...binDirs: readonly string[]): Promise<void> {
  const third = cluster.host(3);
  await third.stopServer();
  third.configure({
    postgres: { instance_dir: join(third.directory, "pg"), bin_dirs: [...binDirs] },
  });
  await third.start();
  await third.ready();
}

test("a version that is installed while the server runs is offered, and one that goes is not", async () => {
  const directory = join(cluster.host(3).directory, "pg99");
  await restartThirdWith(join(directory, "bin"));
  await eventually("the host is back", async () =>
    (await versionsOfThird()).told.length > 0 ? true : undefined,
  );
  expect((await versionsOfThird()).supported).not.toContain("17.99");
  writePrograms(join(directory, "bin.new"), "17.99");
  renameSync(join(directory, "bin.new"), join(directory, "bin"));
  await eventually("it is offered", async () => {
    const { supported, told } = await versionsOfThird();
    return supported.includes("17.99") && told.includes("17.99") ? true : undefined;
  });
  renameSync(join(directory, "bin"), join(directory, "bin.old"));
  await eventually("it is not offered any more", async () =>
    (await versionsOfThird()).supported.includes("17.99") ? undefined : true,
  );
});

test("a version that comes while the host looks for versions, and goes, is not offered for ever", async () => {
  const { directory } = cluster.host(3);
  const [asked, late] = [join(directory, "asked"), join(directory, "late")];
  writePrograms(`${late}.new`, "17.97");
  writePrograms(asked, "17.98", `[ ! -e ${late}.new ] || mv ${late}.new ${late}`);
  await restartThirdWith(asked, late);
  await eventually("it is offered", async () =>
    (await versionsOfThird()).supported.includes("17.97") ? true : undefined,
  );
  renameSync(late, `${late}.old`);
  await eventually("it is not offered any more", async () =>
    (await versionsOfThird()).supported.includes("17.97") ? undefined : true,
  );
});

test("a data directory that PostgreSQL's user cannot enter is refused before anything is made", async () => {
  const third = cluster.host(3);
  const closed = join(third.directory, "closed");
  mkdirSync(closed);
  chmodSync(closed, 0o700);
  await third.stopServer();
  third.configure({ postgres: { instance_dir: join(closed, "pg"), bin_dirs: [] } });
  await third.start();
  await third.ready();
  const refused = await eventually("the others know the directory", async () => {
    const body = { id: "closed", spec: on("h1", "h3") };
    const answer = await cluster.host(1).post("/v1/databases?dry_run=true", body);
    return answer.status === 200 ? undefined : answer;
  });
  expect([refused.status, refused.body.errors?.[0]?.code]).toEqual([400, "directory_closed"]);
  expect(refused.body.message).toContain(`n2: on host h3 user postgres cannot enter ${closed}`);
  expect((await cluster.host(1).get("/v1/databases/closed")).status).toBe(404);
  expect(existsSync(join(closed, "pg"))).toBe(false);
  chmodSync(closed, 0o755);
  await created("closed", "h3");
});

test("another host takes the place of a dead one in one call, and what is lost is said", async () => {
  const [first, third] = [cluster.host(1), cluster.host(3)];
  await created("wide", "h1", "h3");
  const refused = await first.post("/v1/hosts/h3/replace", { replacement: "h2" });
  expect([refused.status, refused.body.name]).toEqual([400, "operation_not_supported"]);
  await third.kill();
  const unknown = await first.post("/v1/hosts/h3/replace", { replacement: "h9", force: true });
  expect([unknown.status, unknown.body.errors[0].path]).toEqual([400, "replacement"]);
  const replaced = await pgherd(first, "--yes", "--wait", "host", "replace", "h3", "h2", "--force");
  expect([replaced.code, replaced.err.includes("begins empty")]).toEqual([0, true]);
  expect(await first.hosts()).toEqual({ h1: "healthy", h2: "healthy" });
  for (const [id, hosts] of [
    ["wide", ["h1", "h2"]],
    ["closed", ["h2"]],
  ] as const) {
    const { body } = await first.get(`/v1/databases/${id}`);
    expect([id, body.state]).toEqual([id, "available"]);
    expect(body.instances.map((each: Body) => each.host_id).sort()).toEqual([...hosts]);
    await eventually(`the instances of ${id} run`, async () => {
      const { instances } = (await first.get(`/v1/databases/${id}`)).body;
      return instances.every((each: Body) => each.state === "available") ? true : undefined;
    });
  }
  const { out } = await pgherd(first, "host", "tasks", "h3");
  expect(out).toMatch(/remove_host +host\/h3 +completed/);
  const listed = JSON.parse((await pgherd(first, "-o", "json", "host", "tasks", "h3")).out);
  const { out: log } = await pgherd(first, "task", "logs", "-f", listed.tasks[0].task_id);
  expect(log).toContain("removed host");
});
