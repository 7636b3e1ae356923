// The majority of the voters is gone for good, of three and of five: databases run on, changes are refused, and one
// command on a survivor brings everything back that the others had: listed, manageable, its data untouched.
import { afterEach, expect, test } from "bun:test";
import { eventually, Lab } from "./lab.ts";
import { type Body, cluster, LabMember, query, specOn, states } from "./members.ts";

const image = process.env.PGHERD_LAB_IMAGE;
const directory = process.env.PGHERD_LAB_DIRECTORY;
const secondsMax = 300_000;
const names = ["one", "two", "three", "four", "five"];
const sizes = (process.env.PGHERD_LAB_SIZES ?? "3,5").split(",").map(Number);
const completed = { status: "completed" };

// Outside run.sh there is no box to build a lab in; test.sh always comes through it.
if (image && directory) {
  let lab: Lab | undefined;
  afterEach(async () => {
    await lab?.down();
    lab = undefined;
  }, 60_000);

  /** What must be the same before and after: rows, and the start of the server. */
  const content = async (member: LabMember): Promise<string> => {
    const text = "SELECT count(*), min(n), max(n), pg_postmaster_start_time() FROM kept";
    const [instance] = await instancesFrom(member);
    if (!instance) throw new Error(`${member.host.name} runs nothing`);
    const { stdout } = await member.host.exec(["psql", "-XAtc", text, instance], {
      env: { PGPASSWORD: "s3cret-pass", PGCONNECT_TIMEOUT: "5" },
    });
    return stdout.trim();
  };
  /** Connection strings of what listens on the host, asked of the host itself: the store may not answer. */
  const instancesFrom = async ({ host }: LabMember): Promise<readonly string[]> => {
    const script = "ss -Hltnp | awk '/\"postgres\"/ {print $4}' | grep -v '^127' | sort -u";
    const { stdout } = await host.exec(["bash", "-c", script]);
    const listening = stdout.split("\n").filter((line) => line.trim() !== "");
    return listening.map((at) => `postgresql://admin@${at.trim()}/shop`);
  };

  for (const size of sizes) {
    test(
      `${Math.ceil(size / 2)} of ${size} hosts are lost for good`,
      async () => {
        lab = await Lab.up(`${directory}/majority${size}`, image);
        const members = await LabMember.bootAll(lab, names.slice(0, size));
        await cluster(members);
        const ids = members.map(({ host }) => host.name);
        const [first] = members;
        if (!first) throw new Error("no hosts");
        const spec = specOn(ids);
        expect(await first.change("POST", "/v1/databases", { id: "shop", spec })).toMatchObject(
          completed,
        );
        for (const member of members) {
          const fill = "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n";
          await query(member, "shop", fill, first);
        }
        const survivors = members.slice(0, Math.floor(size / 2));
        const lost = members.slice(survivors.length);
        const before = await Promise.all(survivors.map(content));

        await Promise.all(lost.map(({ host }) => host.powerOff()));
        await eventually("changes are refused for want of a majority", async () => {
          const answer = await first.api("POST", "/v1/cluster/join-tokens", {});
          expect([0, 503]).toContain(answer.status_code);
          return answer.name === "no_quorum";
        });
        expect(await Promise.all(survivors.map(content))).toEqual(before);

        const startMs = performance.now();
        const env = { PGHERD_SERVER: first.url };
        await first.host.exec(["pgherd", "--yes", "cluster", "recover-quorum"], { env });
        const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
        console.log(`${size} hosts, ${lost.length} lost: recovered in ${seconds} s`);
        for (const member of survivors) {
          await eventually(
            `${member.host.name} lists everything again`,
            async () => {
              const { databases } = await member.api("GET", "/v1/databases");
              return (databases ?? []).some(({ id }: Body) => id === "shop");
            },
            90_000,
          );
        }
        await eventually(
          "the lost ones are seen as such",
          async () => {
            const seen = await states(first);
            return (
              survivors.every(({ host }) => seen[host.name] === "healthy") &&
              lost.every(({ host }) => seen[host.name] === "unreachable")
            );
          },
          90_000,
        );
        expect(await Promise.all(survivors.map(content))).toEqual(before);
        for (const { host } of lost) {
          const { status_code } = await first.api("DELETE", `/v1/hosts/${host.name}?force=true`);
          expect(status_code).toBe(200);
        }
        await eventually(
          "they and their nodes are gone",
          async () => {
            const { state, instances } = await first.api("GET", "/v1/databases/shop");
            const hosts = Object.keys(await states(first));
            return (
              state === "available" &&
              instances.length === survivors.length &&
              hosts.length === survivors.length
            );
          },
          120_000,
        );
        const smaller = specOn(
          survivors.map(({ host }) => host.name),
          { postgresql_conf: { max_connections: 40, shared_buffers: "32MB", work_mem: "9MB" } },
        );
        expect(await first.change("POST", "/v1/databases/shop", { spec: smaller })).toMatchObject(
          completed,
        );
        for (const member of survivors)
          expect(await query(member, "shop", "SHOW work_mem", first)).toBe("9MB");
        expect(await Promise.all(survivors.map(content))).toEqual(before);
      },
      secondsMax,
    );
  }
}
