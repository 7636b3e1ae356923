// What this host knows of its cluster while the store is away: who it is, the certificate authority, and
// where the other members are. The private key in it is sealed under the cluster key.
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { replaceFile } from "../store/rqlited-binary.ts";

const NamedMember = Type.Object({
  id: Type.String(),
  url: Type.String(),
  raft: Type.String(),
  voter: Type.Boolean(),
  /** `host:port` of its internal listener. */
  peer: Type.Optional(Type.String()),
});
export type NamedMember = Static<typeof NamedMember>;

const Membership = Type.Object({
  /** Only a member serves; the other phases begin anew with init or join. */
  phase: Type.Union([
    Type.Literal("initializing"),
    Type.Literal("joining"),
    Type.Literal("member"),
    Type.Literal("removed"),
  ]),
  cluster_id: Type.String(),
  ca_certificate: Type.String(),
  ca_key: Type.String(),
  /** Id of the join token whose answer may not have reached who asked. */
  unanswered_join: Type.Optional(Type.String()),
  /** Whether the host record was ever written; if so, its absence means that the host was removed. */
  registered: Type.Boolean(),
  /** More than one host was here at some time: elections have to be patient. */
  clustered: Type.Boolean(),
  /** How often the cluster went on from what was left; see cluster-settings.ts. */
  recovery: Type.Integer(),
  /** How this host's member of the store was last known to the others. */
  own: Type.Optional(Type.Object({ raft: Type.String(), voter: Type.Boolean() })),
  /** The last wish of the cluster to have certificates replaced that this host followed. */
  certificates_after_ms: Type.Optional(Type.Number()),
  /** When the passwords of the store were made that this host has; absent = with the cluster. */
  store_users_ms: Type.Optional(Type.Number()),
  /** Members of the store, this host's included. */
  members: Type.Array(NamedMember),
});
export type Membership = Static<typeof Membership>;

/** The file with its content in memory; the content is never older than the file. */
export class MembershipFile {
  readonly #path: string;
  readonly #rng: Rng;
  #content: Membership;

  private constructor(path: string, rng: Rng, content: Membership) {
    this.#path = path;
    this.#rng = rng;
    this.#content = content;
  }

  /** Undefined when there is none. Throws a terminal AppError when it cannot be read. */
  static async load(dataDir: string, rng: Rng): Promise<MembershipFile | undefined> {
    const path = pathIn(dataDir);
    if (!existsSync(path)) return undefined;
    const content: unknown = JSON.parse(await readFile(path, "utf8"));
    if (Value.Check(Membership, content)) return new MembershipFile(path, rng, content);
    throw new AppError("terminal", `${path} is not what was written there`);
  }

  /** Writes a new one over what there was. */
  static async create(dataDir: string, rng: Rng, content: Membership): Promise<MembershipFile> {
    const file = new MembershipFile(pathIn(dataDir), rng, content);
    await file.update({});
    return file;
  }

  get content(): Membership {
    return this.#content;
  }

  /** On disk when it resolves. */
  async update(change: Partial<Membership>): Promise<void> {
    this.#content = { ...this.#content, ...change };
    const text = `${JSON.stringify(this.#content, undefined, 2)}\n`;
    await replaceFile(this.#path, text, { mode: 0o600, rng: this.#rng });
  }

  /** Takes away what only matters until join was answered. */
  async answered(): Promise<void> {
    const { unanswered_join: _gone, ...rest } = this.#content;
    this.#content = rest;
    await this.update({});
  }

  /** Members of the store but this host's own. */
  others(hostId: string): readonly NamedMember[] {
    return this.#content.members.filter(({ id }) => id !== hostId);
  }
}

/** Whether a start of the server will open a cluster. What is wrong with the file is said by who loads it. */
export function isMember(dataDir: string): boolean {
  const path = pathIn(dataDir);
  return existsSync(path) && /"phase": "member"/.test(readFileSync(path, "utf8"));
}

function pathIn(dataDir: string): string {
  return join(dataDir, "membership.json");
}
