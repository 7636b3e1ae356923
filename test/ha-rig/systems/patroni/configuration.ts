// Patroni's and etcd's configuration for a host of the rig: defaults wherever the rig does not have to say something.
import { stringify } from "yaml";
import type { LabHost } from "../../../lab/lab.ts";
import { type Mode, POSTGRES_SETTINGS, type Setup, TIMINGS } from "../../system.ts";

export const PORTS = { postgres: 5432, rest: 8008, etcd: 2379, etcdPeers: 2380 } as const;
export const DATA_DIRECTORY = "/var/lib/postgresql/data";
/** Not `rig`: it becomes part of the process titles, which the rig reads. */
export const SCOPE = "main";

/** What pgherd sets by itself and what costs time: the same work for both. */
const OURS = {
  wal_level: "logical",
  archive_mode: "on",
  track_commit_timestamp: "on",
  track_io_timing: "on",
  shared_preload_libraries: "pg_stat_statements",
  max_worker_processes: 12,
} as const;

const synchronous: Readonly<Record<Mode, object>> = {
  async: {},
  sync: { synchronous_mode: true },
  strict: { synchronous_mode: true, synchronous_mode_strict: true },
  quorum: { synchronous_mode: "quorum", synchronous_mode_strict: true },
};

/** /etc/patroni/config.yml of a host. */
export function patroniConfiguration(
  host: LabHost,
  hosts: readonly LabHost[],
  { mode, timings, major, settings }: Setup,
): string {
  const { name, address } = host;
  return stringify({
    scope: SCOPE,
    name,
    restapi: { listen: `${address}:${PORTS.rest}`, connect_address: `${address}:${PORTS.rest}` },
    etcd3: { hosts: hosts.map((each) => `${each.address}:${PORTS.etcd}`) },
    bootstrap: {
      dcs: {
        ...TIMINGS[timings],
        maximum_lag_on_failover: 1_048_576,
        ...synchronous[mode],
        postgresql: {
          use_pg_rewind: true,
          use_slots: true,
          parameters: { ...POSTGRES_SETTINGS, ...settings, ...OURS },
        },
      },
      initdb: [{ encoding: "UTF8" }, { locale: "C.UTF-8" }, "data-checksums"],
    },
    postgresql: {
      listen: `${address}:${PORTS.postgres}`,
      connect_address: `${address}:${PORTS.postgres}`,
      data_dir: DATA_DIRECTORY,
      bin_dir: `/usr/lib/postgresql/${major}/bin`,
      pgpass: "/tmp/pgpass",
      authentication: {
        superuser: { username: "postgres", password: "super-pass" },
        replication: { username: "replicator", password: "repl-pass" },
        rewind: { username: "rewinder", password: "rewind-pass" },
      },
      // Without it a copy waits for minutes until a spread checkpoint comes.
      basebackup: [{ checkpoint: "fast" }],
      pg_hba: [
        "local all all peer",
        "host all all 10.77.0.0/24 scram-sha-256",
        "host replication all 10.77.0.0/24 scram-sha-256",
      ],
      parameters: { unix_socket_directories: "/var/run/postgresql" },
    },
  });
}

/** /etc/default/etcd of a host: a cluster of one member per host. */
export function etcdConfiguration(host: LabHost, hosts: readonly LabHost[]): string {
  const url = (address: string, port: number) => `http://${address}:${port}`;
  const members = hosts.map((each) => `${each.name}=${url(each.address, PORTS.etcdPeers)}`);
  const peers = url(host.address, PORTS.etcdPeers);
  const clients = url(host.address, PORTS.etcd);
  const variables = {
    ETCD_NAME: host.name,
    ETCD_DATA_DIR: "/var/lib/etcd/rig",
    ETCD_LISTEN_PEER_URLS: peers,
    ETCD_INITIAL_ADVERTISE_PEER_URLS: peers,
    ETCD_LISTEN_CLIENT_URLS: clients,
    ETCD_ADVERTISE_CLIENT_URLS: clients,
    ETCD_INITIAL_CLUSTER: members.join(","),
    ETCD_INITIAL_CLUSTER_STATE: "new",
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}="${value}"\n`)
    .join("");
}
