// Leaves nothing of pgherd on a host without a server: instances with their data, processes, units, files.
import { clockFileName } from "../../base/cluster-clock.ts";
import { messageOf } from "../../base/errors.ts";
import { failureText, succeeded } from "../../host/command.ts";
import { keeperDirectory, keepersDirectory } from "../../orchestrator/baremetal/index.ts";
import type { Driver, StepContext } from "../../orchestrator/driver.ts";
import type { HostFacts } from "../../plan/placement.ts";
import type { Resource } from "../../plan/resource.ts";
import { instanceId } from "../../spec/ids.ts";
import type { Site } from "./program.ts";

/** What pgherd itself keeps in its directory there. */
const OWN = [
  "keepers",
  "keepers.lock",
  "certificates",
  "rqlited",
  "store-urls.json",
  clockFileName,
  // Last: the program ends what the others need ended.
  "bin",
] as const;

/** Ends and removes everything. Throws an AppError when something is left. */
export async function cleanHost(host: HostFacts, driver: Driver, site: Site): Promise<void> {
  const { executor, signal, log } = site;
  const context: StepContext = { executor, host, signal, log };
  for (const id of await instancesOn(host, driver, context)) {
    log("removing an instance with its data", { instance_id: id });
    await removeInstance(id, driver, context);
  }
  for (const [parent, id] of await leftDirectories(host, context)) {
    log("removing what an instance left", { path: `${parent}/${id}` });
    await executor.remove(`${parent}/${id}`, signal);
  }
  for (const name of OWN) await executor.remove(`${host.dataDir}/${name}`, signal);
  for (const major of await executor.list(host.instanceDir, signal)) {
    await removeEmpty(`${host.instanceDir}/${major}`, site);
  }
  for (const path of [host.instanceDir, host.runDir, host.dataDir]) {
    await removeEmpty(path, site);
    const rest = await executor.list(path, signal);
    if (rest.length > 0) log(`left alone in ${path}: it is not pgherd's`, { names: rest });
  }
}

async function instancesOn(
  host: HostFacts,
  driver: Driver,
  context: StepContext,
): Promise<readonly string[]> {
  const directories = await context.executor.list(keepersDirectory(host.dataDir), context.signal);
  // Without its program the host cannot tell; what is there is found by its files then.
  const seen = await driver.observe(context).catch((thrown: unknown) => {
    context.log("cannot list the keepers", { error: messageOf(thrown) });
    return [];
  });
  return [...new Set([...directories, ...seen.map((keeper) => keeper.instanceId)])].sort();
}

async function removeInstance(id: string, driver: Driver, context: StepContext): Promise<void> {
  const { host, executor, signal } = context;
  const file = `${keeperDirectory(host.dataDir, id)}/keeper.json`;
  const content = await executor.get(file, { signal });
  const known: { layout?: { base_dir?: string; run_dir?: string } } =
    content === undefined ? {} : JSON.parse(new TextDecoder().decode(content));
  const base_dir = known.layout?.base_dir ?? `${host.instanceDir}/0/${id}`;
  const run_dir = known.layout?.run_dir ?? `${host.runDir}/${id}`;
  const shared = { id, hostId: host.hostId, instanceId: id, dependsOn: [] };
  const keeper: Resource = {
    ...shared,
    kind: "instance.keeper",
    inputs: {
      keeper_file: file,
      fencer_socket: `${host.runDir}/${id}.fencer`,
      base_dir,
      log_dir: `${base_dir}/log`,
      cpus: null,
      memory_bytes: null,
    },
  };
  const directories: Resource = {
    ...shared,
    kind: "filesystem.dir",
    inputs: { base_dir, run_dir, owner: null, directories: [] },
  };
  await driver.remove(keeper, context);
  await driver.remove(directories, context);
}

/** Directories of instances of this host that no keeper is known of: parent and id. */
async function leftDirectories(
  host: HostFacts,
  { executor, signal }: StepContext,
): Promise<readonly (readonly [string, string])[]> {
  const ending = instanceId("x", "n1", host.hostId).slice("x-n1".length);
  const found: [string, string][] = [];
  for (const major of await executor.list(host.instanceDir, signal)) {
    const parent = `${host.instanceDir}/${major}`;
    if (!/^\d+$/.test(major)) continue;
    for (const id of await executor.list(parent, signal)) {
      if (id.endsWith(ending)) found.push([parent, id]);
    }
  }
  return found;
}

/** Only where nothing is in it. */
async function removeEmpty(path: string, { executor, signal, log }: Site): Promise<void> {
  if (!(await executor.stat(path, signal))) return;
  if ((await executor.list(path, signal)).length > 0) return;
  const result = await executor.run({ argv: ["rmdir", "--", path] }, { signal });
  if (!succeeded(result)) log("cannot remove an empty directory", { error: failureText(result) });
}
