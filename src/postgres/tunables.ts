// Settings that follow from the size of the machine and of the database. Pure arithmetic; the user's own settings win.

export interface Size {
  /** Memory of the instance, or of its host when it has no limit; bytes. */
  readonly memoryBytes: number;
  /** CPUs of the instance, or of its host; may be a fraction. */
  readonly cpus: number;
  /** Nodes of the database. */
  readonly nodes: number;
}

/** Fewest connections: on 256 MiB the formula alone would leave 28, on 64 MiB fewer than the reserved ones. */
const connectionsMin = 25;
const connectionsMax = 5_000;
/** Bounds of the server (pg_settings). */
const workMemoryMinKb = 65_536;
const workMemoryMaxKb = 2_147_483_647;
const vacuumCostLimitMax = 10_000;
const parallelWorkersMax = 1_024;
const workerProcessesMax = 262_143;
const autovacuumWorkersMax = 262_143;
/** PostgreSQL refuses to start with less than 16 pages; 128 of them are 1 MiB. */
const sharedBuffersPagesMin = 128;
const sharedBuffersPagesMax = 1_073_741_823;
const cachePagesMax = 2_147_483_647;

const GIB = 1024 ** 3;

/** Slots and WAL senders of an instance, where the user says nothing. */
export function replicationSlots(nodes: number): number {
  return Math.max(nodes + 2, 16);
}

/**
 * Settings for the size, by name (manual 20.4 "Resource Consumption", 20.7 "Query Planning", 20.10 "Vacuuming").
 * Memory is written in the largest unit that divides it, e.g. `512MB`.
 */
export function tunables(size: Size, major: number): Record<string, string> {
  const { memoryBytes, cpus, nodes } = size;
  const slots = replicationSlots(nodes);
  return {
    autovacuum_max_workers: whole(within(memoryBytes / 64_371_566_592, 3, autovacuumWorkersMax)),
    autovacuum_vacuum_cost_limit: whole(vacuumCostLimit(memoryBytes)),
    autovacuum_work_mem: kilobytes(within(memoryBytes / 32_768, workMemoryMinKb, workMemoryMaxKb)),
    effective_cache_size: kilobytes(pagesToKb(within(memoryBytes / 16_384, 1, cachePagesMax))),
    maintenance_work_mem: kilobytes(
      within((memoryBytes * 1024) / 63_963_136, workMemoryMinKb, workMemoryMaxKb),
    ),
    max_connections: whole(connections(memoryBytes)),
    max_parallel_workers: whole(within(cpus / 2, 8, parallelWorkersMax)),
    max_replication_slots: whole(slots),
    max_wal_senders: whole(slots),
    max_worker_processes: whole(within(2 * cpus, Math.max(nodes, 12), workerProcessesMax)),
    shared_buffers: kilobytes(
      pagesToKb(within(memoryBytes / 32_768, sharedBuffersPagesMin, sharedBuffersPagesMax)),
    ),
    // Up to 17 the number of origins followed from max_replication_slots; 18 has a setting of its own, 10 by default.
    ...(major >= 18 ? { max_active_replication_origins: whole(slots) } : {}),
  };
}

function connections(memoryBytes: number): number {
  return within(memoryBytes / 9_531_392, connectionsMin, connectionsMax);
}

function vacuumCostLimit(memoryBytes: number): number {
  return within(600 * Math.log2(memoryBytes / (20 * GIB)), 200, vacuumCostLimitMax);
}

function within(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** Pages of 8 kB. */
function pagesToKb(pages: number): number {
  return Math.floor(pages) * 8;
}

function whole(value: number): string {
  return String(Math.floor(value));
}

function kilobytes(value: number): string {
  const kb = Math.floor(value);
  if (kb % 1_048_576 === 0) return `${kb / 1_048_576}GB`;
  return kb % 1024 === 0 ? `${kb / 1024}MB` : `${kb}kB`;
}
