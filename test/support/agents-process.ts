// What a driver starts, without a store: the fencer as in the binary, and a keeper that only lives.
// `driver <verb>` lets the driver of this host work on one instance, and prints what came of it.
import { connectFencer } from "../../agents/fencer/client.ts";
import { runFencer } from "../../agents/fencer/main.ts";
import { must } from "../../src/base/assert.ts";
import { systemClock } from "../../src/base/clock.ts";
import { systemRng } from "../../src/base/rng.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import type { StepContext } from "../../src/orchestrator/driver.ts";
import { openDriver } from "../../src/orchestrator/registry.ts";

const [role, ...args] = process.argv.slice(2);
if (role === "fencer") process.exit(await runFencer(args));
if (role === "driver") process.exit(await runDriver(args));
if (role !== "keeper") process.exit(2);
setInterval(() => undefined, 60_000);

/** Verbs: capabilities · ensure [cpus memory_bytes] · start <bin dir> · status · observe · remove. */
async function runDriver([verb, ...more]: readonly string[]): Promise<number> {
  const executor = new LocalExecutor("h1", systemClock);
  const signal = new AbortController().signal;
  const context: StepContext = {
    executor,
    host: {
      hostId: "h1",
      dataDir: "/var/lib/pgherd",
      runDir: "/run/pgherd",
      instanceDir: "/var/lib/postgresql",
      postgresUser: "postgres",
    },
    signal,
    log: (message, fields) => console.error(message, JSON.stringify(fields)),
  };
  const driver = await openDriver(
    "baremetal",
    { clock: systemClock, rng: systemRng, launcher: [process.execPath], executor },
    signal,
  );
  const placement = {
    instanceId: "shop-n1-0f3k2m1q",
    databaseId: "shop",
    nodeName: "n1",
    hostId: "h1",
    postgresMajor: 15,
    ...(more.length === 2 ? { cpus: Number(more[0]), memoryBytes: Number(more[1]) } : {}),
  };
  const [directories, keeper] = driver.resources(placement, context.host);
  const layout = driver.layout(placement, context.host);
  const print = (value: unknown) => console.log(JSON.stringify(value));
  switch (verb) {
    case "capabilities":
      print({ id: driver.id, ...driver.capabilities });
      return 0;
    case "ensure":
      await driver.ensure(must(directories, "directories"), context);
      await driver.ensure(must(keeper, "keeper"), context, {
        instance_id: placement.instanceId,
        database_id: placement.databaseId,
        node_name: placement.nodeName,
        host_id: placement.hostId,
        layout,
        postgres_user: "postgres",
        store_urls: [],
        store_username: "",
        store_password_file: "",
        log_level: "info",
      });
      return 0;
    case "start": {
      const bin = more[0];
      const made = await executor.run({
        argv: [`${bin}/initdb`, "-D", layout.data_dir, "-A", "trust", "-N"],
        user: "postgres",
      });
      if (made.exitCode !== 0) throw new Error(made.stderr);
      const client = await connectFencer(layout.fencer_socket, signal);
      const options = [
        "-k",
        layout.run_dir,
        "-c",
        "listen_addresses=",
        "-c",
        "shared_buffers=16MB",
      ];
      print(
        await client.start({
          argv: [`${bin}/postgres`, "-D", layout.data_dir, ...options],
          env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" },
          log_file: `${layout.log_dir}/postgres.log`,
        }),
      );
      return 0;
    }
    case "status":
      print(await (await connectFencer(layout.fencer_socket, signal)).status());
      return 0;
    case "observe":
      print(await driver.observe(context));
      return 0;
    case "remove":
      await driver.remove(must(keeper, "keeper"), context);
      await driver.remove(must(directories, "directories"), context);
      return 0;
    default:
      return 2;
  }
}
