// The files that outlive a run of rqlited: credentials, chosen ports, and which process it is.
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { Secret } from "../base/secret.ts";
import type { Credentials } from "./capabilities.ts";
import { isMissing, replaceFile } from "./rqlited-binary.ts";

/** Where rqlited keeps what, below the server's data directory. */
export interface RqlitedPaths {
  readonly directory: string;
  readonly data: string;
  readonly auth: string;
  readonly state: string;
  readonly log: string;
  readonly binaries: string;
}

export function rqlitedPaths(dataDir: string): RqlitedPaths {
  const directory = join(dataDir, "rqlited");
  return {
    directory,
    data: join(directory, "data"),
    auth: join(directory, "auth.json"),
    state: join(directory, "state.json"),
    log: join(directory, "rqlited.log"),
    binaries: join(dataDir, "bin"),
  };
}

const Endpoint = Type.Object({ host: Type.String(), port: Type.Integer() });
export type Endpoint = Static<typeof Endpoint>;

/** What is remembered: ports that were chosen, and the process that was started last. */
export const RqlitedState = Type.Object({
  http: Endpoint,
  raft: Endpoint,
  process: Type.Optional(
    Type.Object({ pid: Type.Integer(), startTicks: Type.String(), bootId: Type.String() }),
  ),
});
export type RqlitedState = Static<typeof RqlitedState>;

const AuthFile = Type.Array(
  Type.Object({
    username: Type.String(),
    password: Type.String({ minLength: 1 }),
    perms: Type.Array(Type.String()),
  }),
);

export interface RqlitedUsers {
  readonly server: Credentials;
  readonly keeper: Credentials;
}

/** The user with all rights. */
export const SERVER_USER = "pgherd";
const KEEPER = "keeper";
/** The keeper reads and writes its own rows; it neither joins, removes, backs up nor loads. */
const PERMISSIONS = { [SERVER_USER]: ["all"], [KEEPER]: ["query", "execute", "ready"] };

/** A user as hosts tell each other, over mutual TLS only. */
export interface SentUser {
  readonly username: string;
  readonly password: string;
}

/** The users as they are told. */
export function sentUsers({ server, keeper }: RqlitedUsers): readonly SentUser[] {
  return [server, keeper].map(({ username, password }) => ({
    username,
    password: password.reveal(),
  }));
}

/** Users with passwords that nobody knows yet. */
export function newUsers(rng: Rng): readonly SentUser[] {
  return Object.keys(PERMISSIONS).map((username) => ({ username, password: newPassword(rng) }));
}

/** Makes the users those of another node, for one that joins it. */
export async function adoptUsers(
  paths: RqlitedPaths,
  users: readonly SentUser[],
  rng: Rng,
): Promise<void> {
  await mkdir(paths.directory, { recursive: true, mode: 0o700 });
  const content = users.map((user) => ({ ...user, perms: [] }));
  await replaceFile(paths.auth, JSON.stringify(content), { mode: 0o600, rng });
}

/** The users of this node's rqlited; their passwords are made once and kept (mode 0600). */
export async function ensureUsers(paths: RqlitedPaths, rng: Rng): Promise<RqlitedUsers> {
  await mkdir(paths.directory, { recursive: true, mode: 0o700 });
  const found = await readJson(paths.auth);
  const present = found === undefined ? [] : found;
  if (!Value.Check(AuthFile, present)) {
    throw new AppError("terminal", `${paths.auth} is no list of rqlite users`);
  }
  const passwordOf = (name: string) =>
    present.find((user) => user.username === name)?.password ?? newPassword(rng);
  const users = Object.entries(PERMISSIONS).map(([username, perms]) => ({
    username,
    password: passwordOf(username),
    perms,
  }));
  const text = `${JSON.stringify(users, undefined, 2)}\n`;
  if (JSON.stringify(found) !== JSON.stringify(users)) {
    await replaceFile(paths.auth, text, { mode: 0o600, rng });
  }
  const credentials = (name: string): Credentials => ({
    username: name,
    password: new Secret(users.find((user) => user.username === name)?.password ?? ""),
  });
  return { server: credentials(SERVER_USER), keeper: credentials(KEEPER) };
}

/** The remembered state, or one with ports taken where the wish is 0. It is saved before it is used. */
export async function ensureState(
  paths: RqlitedPaths,
  wish: { readonly http: Endpoint; readonly raft: Endpoint },
  rng: Rng,
): Promise<RqlitedState> {
  const found = await readJson(paths.state);
  if (found !== undefined && !Value.Check(RqlitedState, found)) {
    throw new AppError("terminal", `${paths.state} is not what was written there`);
  }
  const http = await settle(wish.http, found?.http);
  const raft = await settle(wish.raft, found?.raft, http.port);
  const state = { ...(found?.process ? { process: found.process } : {}), http, raft };
  await saveState(paths, state, rng);
  return state;
}

/** Has the next run listen for other nodes on a port that nobody knows of; one that the configuration names stays. */
export async function changeRaftPort(paths: RqlitedPaths, rng: Rng): Promise<void> {
  const found = await readJson(paths.state);
  if (!Value.Check(RqlitedState, found)) return;
  const { http, raft } = found;
  for (;;) {
    const port = await freePort(raft.host);
    if (port === raft.port || port === http.port) continue;
    await saveState(paths, { ...found, raft: { ...raft, port } }, rng);
    return;
  }
}

export async function saveState(paths: RqlitedPaths, state: RqlitedState, rng: Rng) {
  const text = `${JSON.stringify(state, undefined, 2)}\n`;
  await replaceFile(paths.state, text, { mode: 0o600, rng });
}

async function settle(
  wish: Endpoint,
  known: Endpoint | undefined,
  taken?: number,
): Promise<Endpoint> {
  if (wish.port !== 0) return wish;
  // The port stays when the address changes: others may know it.
  if (known) return { host: wish.host, port: known.port };
  // Nothing listens there yet on the port that was chosen before: it may be given twice.
  for (;;) {
    const port = await freePort(wish.host);
    if (port !== taken) return { host: wish.host, port };
  }
}

/** A port that is free right now. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, host, () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function newPassword(rng: Rng): string {
  return Buffer.from(rng.bytes(32)).toString("base64url");
}

async function readJson(path: string): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return value;
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw new AppError("terminal", `cannot read ${path}`, { cause: thrown });
  }
}
