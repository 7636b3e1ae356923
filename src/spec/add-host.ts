// A machine that becomes a host: how it is reached over SSH, and what it is to be. Credentials are in the
// request only; what is stored of them is sealed.
import { type Static, Type } from "@sinclair/typebox";
import { closed } from "./closed.ts";
import { Identifier } from "./fields.ts";
import { HostLabels, type HostRecord } from "./host.ts";
import { Task } from "./task.ts";

const Path = Type.String({ pattern: "^/[^\\u0000-\\u001f]*$", maxLength: 200 });
const Address = Type.String({ pattern: "^[A-Za-z0-9:._-]+$", minLength: 1, maxLength: 253 });
const UserName = Type.String({ pattern: "^[a-z_][a-z0-9_.-]{0,31}$" });
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });

/** The way to one sshd. */
const way = {
  address: Type.String({ ...Address, description: "Name or address, as the members see it." }),
  port: Type.Optional(Type.Integer({ ...Port, description: "22 when absent." })),
  user: Type.Optional(Type.String({ ...UserName, description: "`root` when absent." })),
  host_key: Type.String({
    minLength: 1,
    maxLength: 16_384,
    description:
      "The only key that the machine may show: a line of its `ssh_host_*_key.pub`, or a fingerprint " +
      "`SHA256:…`; `learn` takes the one that it shows now, and answers it.",
  }),
  private_key: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 16_384,
      description: "Text of an OpenSSH or PEM private key. Stored sealed, never answered.",
    }),
  ),
  passphrase: Type.Optional(
    Type.String({ minLength: 1, maxLength: 1_024, description: "Of the private key." }),
  ),
  agent: Type.Optional(
    Type.String({
      ...Path,
      description: "Socket of an SSH agent, at the same place on every member, instead of a key.",
    }),
  ),
};

export const SshJump = closed(way);
export type SshJump = Static<typeof SshJump>;

export const SshAccess = closed({
  ...way,
  sudo: Type.Optional(
    Type.Boolean({
      description:
        "Become root with sudo, which must not ask for a password. True when absent, except for the user root.",
    }),
  ),
  jump: Type.Optional(SshJump),
});
export type SshAccess = Static<typeof SshAccess>;

export const HostJoin = closed({
  voter: Type.Optional(
    Type.Boolean({ description: "The new member counts for the quorum; true when absent." }),
  ),
  http_port: Type.Optional(
    Type.Integer({
      ...Port,
      description: "Of its API, on its first peer address; 3000 when absent.",
    }),
  ),
});
export type HostJoin = Static<typeof HostJoin>;

export const AddHostRequest = closed({
  id: Identifier,
  ssh: SshAccess,
  data_dir: Type.Optional(
    Type.String({
      ...Path,
      description: "What pgherd keeps there; `/var/lib/pgherd` when absent.",
    }),
  ),
  run_dir: Type.Optional(Type.String({ ...Path, description: "`/run/pgherd` when absent." })),
  instance_dir: Type.Optional(
    Type.String({ ...Path, description: "Parent of the instances; below `data_dir` when absent." }),
  ),
  postgres_user: Type.Optional(
    Type.String({
      ...UserName,
      description: "User that PostgreSQL runs as; `postgres` when absent.",
    }),
  ),
  bin_dirs: Type.Optional(
    Type.Array(Path, {
      maxItems: 32,
      description: "Directories with PostgreSQL's programs, beside those of the distribution.",
    }),
  ),
  peer_addresses: Type.Optional(
    Type.Array(Address, { minItems: 1, maxItems: 16, description: "`ssh.address` when absent." }),
  ),
  client_addresses: Type.Optional(
    Type.Array(Address, {
      minItems: 1,
      maxItems: 16,
      description: "Where clients reach its databases; `ssh.address` when absent.",
    }),
  ),
  random_ports: Type.Optional(
    closed({
      min: Type.Integer({ minimum: 1_024, maximum: 65_535 }),
      max: Type.Integer({ minimum: 1_024, maximum: 65_535 }),
    }),
  ),
  labels: Type.Optional(HostLabels),
  service_units: Type.Optional(
    Type.Boolean({
      description:
        "false: keepers run as detached processes although the machine has a service manager.",
    }),
  ),
  join: Type.Optional(
    Type.Unsafe<HostJoin>({
      ...HostJoin,
      description: "Install a server there, which joins the cluster as a member.",
    }),
  ),
});
export type AddHostRequest = Static<typeof AddHostRequest>;

/** A key that was taken on first use, to be compared with what the machine's owner knows. */
export const LearnedHostKey = closed({
  address: Type.String(),
  fingerprint: Type.String(),
  key: Type.String(),
});
export type LearnedHostKey = Static<typeof LearnedHostKey>;

export const AddHostResponse = closed({
  task: Task,
  /** Empty when every key was given. */
  learned_host_keys: Type.Array(LearnedHostKey),
});
export type AddHostResponse = Static<typeof AddHostResponse>;

/** What a task that adds a host starts from. Credentials in it are sealed. */
export type PlannedHost = Pick<
  HostRecord,
  | "id"
  | "data_dir"
  | "run_dir"
  | "instance_dir"
  | "postgres_user"
  | "peer_addresses"
  | "client_addresses"
  | "random_ports"
> & {
  readonly ssh: NonNullable<HostRecord["ssh"]>;
  readonly service_units?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly join?: HostJoin;
  /** Base URLs of members, for one that joins. */
  readonly server_urls?: readonly string[];
};
