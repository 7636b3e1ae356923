// The keys of the configuration by their full names, e.g. `http.port`, as flags and variables use them.
import type { TSchema } from "@sinclair/typebox";
import { nearest } from "../base/nearest.ts";
import { fail, ok, type Result } from "../base/result.ts";
import { isOptional } from "../spec/shape.ts";
import { Config } from "./schema.ts";

export interface Key {
  readonly name: string;
  readonly schema: TSchema;
  readonly optional: boolean;
}

/** Every key, in the order of the schema; the entries of a map count as one. */
export const KEYS: readonly Key[] = keysOf(Config, "");

function keysOf(schema: TSchema, prefix: string): Key[] {
  const properties: Readonly<Record<string, TSchema>> = schema.properties;
  return Object.entries(properties).flatMap(([part, inner]) => {
    const name = `${prefix}${part}`;
    const isSection = inner.type === "object" && !isMap(inner);
    return isSection
      ? keysOf(inner, `${name}.`)
      : [{ name, schema: inner, optional: isOptional(inner) }];
  });
}

function isMap(schema: TSchema): boolean {
  return typeof schema.additionalProperties === "object";
}

/** Whether other names continue this one: a part of the configuration, or a map. */
export function isSection(name: string): boolean {
  const names = [...KEYS.map((key) => key.name), ...Object.keys(ELSEWHERE)];
  const key = KEYS.find((each) => each.name === name);
  return key ? isMap(key.schema) : names.some((each) => each.startsWith(`${name}.`));
}

/** What a key that is none should have been, in words; absent = nobody knows. */
export interface UnknownKey {
  readonly message: string;
  readonly hint?: string;
}

/** The key of that name, or the map that it is an entry of. */
export function findKey(name: string): Result<Key, UnknownKey> {
  const key = KEYS.find((each) => each.name === name);
  if (key) return ok(key);
  const map = KEYS.find((each) => isMap(each.schema) && name.startsWith(`${each.name}.`));
  if (map) return ok({ name, schema: map.schema.additionalProperties, optional: true });
  return fail(unknownKey(name));
}

function unknownKey(name: string): UnknownKey {
  const elsewhere = Object.entries(ELSEWHERE).find(
    ([key]) => name === key || name.startsWith(`${key}.`),
  );
  if (elsewhere) {
    return { message: "is not supported by this version", hint: elsewhere[1] };
  }
  const meant = nearest(
    name,
    KEYS.map((key) => key.name),
  );
  const hint = meant === undefined ? {} : { hint: `did you mean ${meant}?` };
  return { message: "is no key of the configuration", ...hint };
}

/** Keys of other servers of the same API, and what to do about them. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "http.enabled": "the API is always served over HTTP",
  "http.ca_cert": "put a proxy that does TLS in front of it",
  "http.server_cert": "put a proxy that does TLS in front of it",
  "http.server_key": "put a proxy that does TLS in front of it",
  "http.client_cert": "hosts do not call each other yet",
  "http.client_key": "hosts do not call each other yet",
  mqtt: "use HTTP",
  etcd_username: "the store makes its own credentials",
  etcd_password: "the store makes its own credentials",
  etcd_key_root: "the store is this cluster's alone",
  etcd_server: "see store.http_port and store.raft_port",
  etcd_client: "see store.http_port and store.raft_port",
  docker_swarm: "databases run without containers",
  "systemd.instance_data_dir": "it is called postgres.instance_dir",
  "systemd.pgbackrest_path": "there are no backups yet",
  "systemd.patroni_path": "the keeper is part of this program",
  systemd: "see postgres",
  database_owner_uid: "name a user with postgres.user",
  database_owner_gid: "name a user with postgres.user",
  databases_monitor_interval_seconds: "keepers report what changes by themselves",
  profiling_enabled: "there is no profiler",
  traefik_enabled: "it has no effect anywhere",
  vector_enabled: "it has no effect anywhere",
};
