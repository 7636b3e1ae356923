// A host as users see it.
import { rfc3339 } from "../base/clock.ts";
import { hostReportStaleMs } from "../base/limits.ts";
import { formatVersion } from "../postgres/version.ts";
import { releases, spockMajor } from "../spec/defaults.ts";
import type {
  Host,
  HostRecord,
  HostSsh,
  HostStatus,
  PgEdgeVersion,
  SshRecord,
} from "../spec/host.ts";
import { withSettings } from "../store/host-settings.ts";
import type { StoredHost } from "../store/hosts.ts";

export function presentHost(stored: StoredHost, nowMs: number): Host {
  const { settings, status } = stored;
  const record = withSettings(stored.record, settings);
  const versions = supportedVersions(record);
  const [newest] = versions;
  return {
    id: record.id,
    orchestrator: record.orchestrator,
    data_dir: record.data_dir,
    peer_addresses: record.peer_addresses,
    client_addresses: record.client_addresses,
    cpus: record.cpus,
    memory: bytesText(record.memory_bytes),
    status: hostStatus(status, nowMs),
    ...(newest ? { default_pgedge_version: newest } : {}),
    supported_pgedge_versions: versions,
    etcd_mode: record.etcd_mode,
    ...(Object.keys(settings.labels).length > 0 ? { labels: { ...settings.labels } } : {}),
    ...(record.maintenance ? { maintenance: maintenanceOf(record.maintenance) } : {}),
    ...(record.ssh ? { ssh: presentSsh(record.ssh) } : {}),
  };
}

function presentSsh({ address, port, user, host_key, jump }: SshRecord): HostSsh {
  return {
    address,
    port,
    user,
    host_key,
    ...(jump ? { jump: `${jump.user}@${jump.address}:${jump.port}` } : {}),
  };
}

function maintenanceOf({ since_ms, reason }: NonNullable<HostRecord["maintenance"]>) {
  return { since: rfc3339(since_ms), ...(reason === undefined ? {} : { reason }) };
}

/** Without a report for long, nothing of it is believed any more. */
function hostStatus(status: StoredHost["status"], nowMs: number): HostStatus {
  if (!status) return { state: "unknown", updated_at: rfc3339(0), components: {} };
  const updated_at = rfc3339(status.updatedAtMs);
  if (nowMs - status.updatedAtMs > hostReportStaleMs) {
    return { state: "unreachable", updated_at, components: {} };
  }
  const { components } = status.status;
  const healthy = Object.values(components).every((component) => component.healthy);
  return { state: healthy ? "healthy" : "degraded", updated_at, components };
}

/** Newest first. */
function supportedVersions(record: HostRecord): PgEdgeVersion[] {
  return releases(record).map((release) => {
    const version = formatVersion(release);
    const installed = record.installations.find((installation) => installation.version === version);
    const spock = installed?.spock_version;
    return {
      postgres_version: version,
      spock_version: spock === null || spock === undefined ? "" : spockMajor(spock),
    };
  });
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** SI units; one decimal below ten of a unit, e.g. `1.5GB`, `16GB`. */
export function bytesText(bytes: number): string {
  const power = bytes < 1_000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const value = bytes / 1_000 ** power;
  const text = power > 0 && value < 9.95 ? value.toFixed(1) : String(Math.round(value));
  return `${text.replace(/\.0$/, "")}${UNITS[power] ?? "B"}`;
}
