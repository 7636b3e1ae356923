import { describe, expect, test } from "bun:test";
import { tunables } from "./tunables.ts";

const GIB = 1024 ** 3;
const at = (gib: number, cpus = 4, nodes = 1) =>
  tunables({ memoryBytes: gib * GIB, cpus, nodes }, 17);

describe("tunables", () => {
  test("follow the memory", () => {
    expect(at(1)).toMatchObject({
      max_connections: "112",
      shared_buffers: "256MB",
      effective_cache_size: "512MB",
      autovacuum_work_mem: "64MB",
      maintenance_work_mem: "64MB",
      autovacuum_vacuum_cost_limit: "200",
    });
    expect(at(64)).toMatchObject({
      max_connections: "5000",
      shared_buffers: "16GB",
      effective_cache_size: "32GB",
      autovacuum_work_mem: "2GB",
      autovacuum_vacuum_cost_limit: "1006",
    });
  });

  test("follow CPUs and nodes", () => {
    expect(at(1, 4, 1)).toMatchObject({ max_worker_processes: "12", max_parallel_workers: "8" });
    expect(at(1, 64, 9)).toMatchObject({ max_worker_processes: "128", max_parallel_workers: "32" });
    expect(at(1, 0.5, 20)).toMatchObject({ max_worker_processes: "20", max_wal_senders: "22" });
  });

  test("stay within what the server takes on the smallest and the largest machine", () => {
    const tiny = tunables({ memoryBytes: 1, cpus: 0.001, nodes: 1 }, 17);
    expect(tiny).toMatchObject({ max_connections: "25", shared_buffers: "1MB" });
    const huge = tunables({ memoryBytes: 2 ** 50, cpus: 4096, nodes: 9 }, 17);
    expect(huge).toMatchObject({
      max_parallel_workers: "1024",
      autovacuum_work_mem: "2147483647kB",
      autovacuum_vacuum_cost_limit: "9406",
      shared_buffers: "8589934584kB",
    });
  });

  test("give 18 the replication origins that older majors take from the slots", () => {
    const size = { memoryBytes: GIB, cpus: 1, nodes: 3 };
    expect(tunables(size, 18).max_active_replication_origins).toBe("16");
    expect(tunables(size, 17)).not.toHaveProperty("max_active_replication_origins");
  });
});
