// What one instance should be: written by a step into the store, followed by its keeper level by level.
// Complete enough that the keeper makes no choice about PostgreSQL's configuration.
import type { HaMember, HaSettings } from "../ha/settings.ts";
import type { PermanentSlot } from "../postgres/replication.ts";

/** Desired state of one instance. Holds no clear-text secret. */
export interface InstanceConfig {
  /** Grows with every accepted change; a keeper never goes back to a smaller one. */
  readonly generation: number;
  readonly instance_id: string;
  readonly database_id: string;
  readonly tenant_id?: string;
  readonly node_name: string;
  readonly host_id: string;
  /** The application database's name. */
  readonly database_name: string;
  /** Major version, e.g. 17. */
  readonly postgres_major: number;
  /** Directory of initdb, postgres, pg_ctl… on the host. */
  readonly bin_dir: string;
  readonly run: "running" | "stopped";
  /** TCP port of PostgreSQL; null = unix socket only. */
  readonly port: number | null;
  /** TCP port of the keeper's REST API; null = none. */
  readonly rest_port: number | null;
  /** Who may change things through it; absent = whoever comes from a host of the database. */
  readonly rest_authentication?: RestAuthentication;
  /** Addresses PostgreSQL and the REST API listen on. */
  readonly listen_addresses: readonly string[];
  /** Addresses that users reach it by, best first. */
  readonly connect_addresses: readonly string[];
  /** Every setting of postgresql.conf, rendered by the plan; the keeper adds only paths and sockets of its layout. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly hba: readonly string[];
  readonly ident: readonly string[];
  /** The generation whose plan ordered a restart; the keeper restarts PostgreSQL for pending settings only if it equals `generation`. */
  readonly restart_generation: number;
  /** The node is a group of instances; absent where it has one instance and never had more. */
  readonly ha?: InstanceHa;
  /** Slots that the node keeps for others, by name; absent = none. */
  readonly slots?: readonly PermanentSlot[];
}

/** A SCRAM-SHA-256 verifier, never the password. */
export interface RestAuthentication {
  readonly username: string;
  readonly verifier: string;
}

/** The group that an instance belongs to; equal in all instances of a node of the same generation. */
export interface InstanceHa {
  /** All instances of the node, this one included, in the order of the spec. */
  readonly members: readonly HaMember[];
  /** May make the data and take the first epoch of a node that never had one. */
  readonly initial_primary: string;
  readonly settings: HaSettings;
}

/** Where things of one instance are on its host. Made by the driver, constant for the instance's life. */
export interface InstanceLayout {
  readonly base_dir: string;
  readonly data_dir: string;
  readonly config_dir: string;
  /** ca.crt, server.crt, server.key, superuser.crt, superuser.key, replication.crt, replication.key */
  readonly certificate_dir: string;
  /** Unix sockets of PostgreSQL and of the fencer; short path, empty after a reboot. */
  readonly run_dir: string;
  readonly log_dir: string;
  /** KeeperFile as JSON, 0600. */
  readonly keeper_file: string;
  readonly fencer_socket: string;
}

/** Content of `keeper_file`: identity, places and how to reach the store. The keeper needs nothing else to start. */
export interface KeeperFile {
  readonly instance_id: string;
  readonly database_id: string;
  readonly node_name: string;
  readonly host_id: string;
  readonly layout: InstanceLayout;
  /** Operating-system user of PostgreSQL; null = the keeper's own user. */
  readonly postgres_user: string | null;
  /** Base URLs, local first. */
  readonly store_urls: readonly string[];
  /** A JSON array of them that the host's server keeps up to date; counts when it is there. */
  readonly store_urls_file?: string;
  readonly store_username: string;
  readonly store_password_file: string;
  /** For https URLs. The files are renewed in place. */
  readonly store_tls?: {
    readonly ca_file: string;
    readonly cert_file: string;
    readonly key_file: string;
  };
  readonly log_level: string;
}

/** What a keeper saw, and when; written by the keeper only. */
export interface InstanceReport {
  readonly instance_id: string;
  /** Changes with every start of the keeper. */
  readonly incarnation: string;
  readonly observed_at_ms: number;
  /** One of Patroni's state strings (reference: Patroni REST API), e.g. "running", "starting", "stopped", "crashed". */
  readonly postgres_state: string;
  readonly role: "primary" | "replica" | "uninitialized" | "unknown";
  /** Full version such as "17.11"; absent when PostgreSQL has not answered yet. */
  readonly postgres_version?: string;
  readonly system_identifier?: string;
  readonly timeline?: number;
  /** e.g. "0/3000060" */
  readonly lsn?: string;
  /** Of a standby: "streaming", or what else it does to get the primary's changes. */
  readonly replication_state?: string;
  readonly receive_lsn?: string;
  readonly replay_lsn?: string;
  readonly postmaster_start_time?: string;
  readonly pending_restart: boolean;
  /** Settings that wait for a restart. */
  readonly pending_restart_settings: readonly string[];
  /** Generation of the last InstanceConfig that was applied completely; 0 = none yet. */
  readonly applied_generation: number;
  /** The newest generation, when PostgreSQL refused it: `error` says why, and waiting will not help. */
  readonly refused_generation?: number;
  /** Why the newest generation could not be applied, or the last crash. */
  readonly error?: string;
  readonly certificate_expires_at_ms?: number;
  /** Absent until they were looked at. */
  readonly slots?: ReportedSlots;
  /** One sentence: what the keeper decided last and why. */
  readonly decision: string;
}

/** The slots of a PostgreSQL, by name. */
export interface ReportedSlots {
  readonly observed_at_ms: number;
  readonly rows: readonly ReportedSlot[];
}

export interface ReportedSlot {
  readonly name: string;
  readonly type: "physical" | "logical";
  readonly plugin?: string;
  readonly database?: string;
  readonly active: boolean;
  readonly used_by?: string;
  readonly restart_lsn?: string;
  readonly confirmed_flush_lsn?: string;
  readonly retained_bytes?: number;
  readonly wal_status?: string;
  readonly temporary: boolean;
  readonly failover: boolean;
  readonly synced: boolean;
}

/** A role that should exist; `verifier` is a SCRAM-SHA-256 verifier, never a clear text. */
export interface RoleConfig {
  readonly name: string;
  readonly verifier?: string;
  /** CREATE ROLE attributes, upper case, e.g. LOGIN, NOSUPERUSER. */
  readonly attributes: readonly string[];
  /** Roles granted to this one. */
  readonly member_of: readonly string[];
}

/** One piece of work that a step asks of a keeper; every one can run twice with the same end result. */
export type KeeperRequest =
  | {
      readonly kind: "roles";
      readonly roles: readonly RoleConfig[];
      readonly disabled: readonly string[];
    }
  | {
      readonly kind: "database";
      readonly name: string;
      readonly owner: string | null;
      readonly extensions: readonly string[];
    }
  | {
      readonly kind: "script";
      readonly key: string;
      readonly database: string;
      readonly statements: readonly string[];
    }
  /** Exactly these permanent slots, read back. */
  | { readonly kind: "slots"; readonly slots: readonly PermanentSlot[] }
  | { readonly kind: "restart"; readonly reason: string }
  | { readonly kind: "reload" }
  | { readonly kind: "checkpoint" };

/** What came of it. `detail` is shown in the task log. */
export interface KeeperAnswer {
  readonly ok: boolean;
  readonly detail: string;
  /** Nothing was done, because another instance is the primary: whoever is can be asked the same. */
  readonly not_primary?: boolean;
}
