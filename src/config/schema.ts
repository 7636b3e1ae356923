// What can be configured. Every key has an effect; defaults that depend on the machine are in parse.ts.
import { type Static, Type } from "@sinclair/typebox";
import { LOG_LEVELS } from "../base/log.ts";
import { closed, mapOf, oneOf } from "../spec/closed.ts";
import { Identifier } from "../spec/fields.ts";

const Path = Type.String({ pattern: "^/", path: true });
const Address = Type.String({ minLength: 1, maxLength: 253, address: true });
const Port = Type.Integer({ minimum: 0, maximum: 65_535 });
const Level = oneOf(LOG_LEVELS);

export const ORCHESTRATORS = ["baremetal", "systemd", "detached"] as const;

const Http = closed({
  bind_addr: Type.String({
    ...Address,
    description: "Address to listen on; only loopback unless told otherwise.",
  }),
  port: Type.Integer({ ...Port, description: "Port of the API; 0 = any free one." }),
});

const Logging = closed({
  level: Type.Unsafe<Static<typeof Level>>({
    ...Level,
    description: "Least level that is logged. Reloaded on SIGHUP.",
  }),
  pretty: Type.Boolean({ description: "Lines for people instead of JSON." }),
  component_levels: Type.Unsafe<Readonly<Record<string, Static<typeof Level>>>>({
    ...mapOf(Level),
    description: "Levels of single components. Reloaded on SIGHUP.",
  }),
});

const Store = closed({
  http_port: Type.Integer({ ...Port, description: "0 = chosen once, then kept." }),
  raft_port: Type.Integer({ ...Port, description: "0 = chosen once, then kept." }),
  leader_timeout_ms: Type.Integer({
    minimum: 100,
    maximum: 10_000,
    description:
      "How long members of the store bear the silence of its leader before they choose another.",
  }),
});

const Peer = closed({
  port: Type.Integer({
    ...Port,
    description: "Port for the other hosts of the cluster; 0 = chosen once, then kept.",
  }),
});

const Postgres = closed({
  bin_dirs: Type.Array(Path, {
    description: "Directories with PostgreSQL's programs, beside those of the distribution.",
  }),
  user: Type.Optional(
    Type.String({
      pattern: "^[a-z_][a-z0-9_-]{0,31}$",
      description: "User that PostgreSQL runs as; only when the server is root.",
    }),
  ),
  instance_dir: Type.String({ ...Path, description: "Parent of the instances' directories." }),
});

const RandomPorts = closed({
  min: Type.Integer({
    minimum: 1_024,
    maximum: 65_535,
    description: "First port for instances whose spec asks for port 0.",
  }),
  max: Type.Integer({ minimum: 1_024, maximum: 65_535, description: "The last of them." }),
});

export const Config = closed({
  data_dir: Type.String({ ...Path, description: "What the server itself keeps." }),
  run_dir: Type.String({ ...Path, description: "Sockets; may be empty after a boot." }),
  host_id: Type.String({ ...Identifier, description: "Name of this host in the cluster." }),
  tenant_id: Type.Optional(
    Type.String({ ...Identifier, description: "A label of every log line." }),
  ),
  orchestrator: oneOf(ORCHESTRATORS, {
    description:
      "How keepers run: units of the service manager where it is there, else detached processes; " +
      "`systemd` and `detached` insist on one of the two.",
  }),
  etcd_mode: oneOf(["server", "client"], {
    description:
      "`server`: this host has a member of the store. `client`: it uses those of others.",
  }),
  witness: Type.Boolean({
    description: "This host votes in the store and runs no databases.",
  }),
  peer_addresses: Type.Array(Address, {
    minItems: 1,
    description: "Where other hosts reach this one.",
  }),
  client_addresses: Type.Array(Address, {
    minItems: 1,
    description: "Where clients reach the databases of this host.",
  }),
  stop_grace_period_seconds: Type.Integer({
    minimum: 0,
    maximum: 3_600,
    description: "How long requests and steps under way may take to finish.",
  }),
  http: Http,
  logging: Logging,
  store: Store,
  peer: Peer,
  postgres: Postgres,
  random_ports: RandomPorts,
});
export type Config = Static<typeof Config>;
