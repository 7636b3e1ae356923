// The libpq connection string of a database, from what the API says about it.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
import { isObject } from "./client.ts";
import { CliError, exitCodes } from "./exit-codes.ts";

/** `postgresql://user@host:port,…/database`, primaries of the wanted node or of all. Never holds a password. */
export function connectionUrl(
  database: unknown,
  options: { readonly user?: string; readonly node?: string },
): string {
  if (!isObject(database) || !isObject(database.spec)) {
    throw new CliError(exitCodes.failure, "the server's answer is no database");
  }
  const instances = Array.isArray(database.instances) ? database.instances.filter(isObject) : [];
  const wanted = instances.filter(
    (instance) => !options.node || instance.node_name === options.node,
  );
  const hosts = wanted.flatMap(hostsOf);
  if (hosts.length === 0) {
    throw new CliError(
      exitCodes.failure,
      `${String(database.id)} has no address to connect to${options.node ? ` on node ${options.node}` : ""}: is it available, and does its spec have a port?`,
    );
  }
  const user = options.user ?? ownerOf(database.spec);
  const name = encodeURIComponent(String(database.spec.database_name));
  const several = hosts.length > 1 ? "?target_session_attrs=read-write" : "";
  return `postgresql://${user ? `${encodeURIComponent(user)}@` : ""}${hosts.join(",")}/${name}${several}`;
}

function hostsOf(instance: Record<string, unknown>): string[] {
  const info = instance.connection_info;
  if (!isObject(info) || !Array.isArray(info.addresses) || info.port === undefined) return [];
  const address: unknown = info.addresses[0];
  if (typeof address !== "string") return [];
  return [`${address.includes(":") ? `[${address}]` : address}:${String(info.port)}`];
}

function ownerOf(spec: Record<string, unknown>): string | undefined {
  const users = Array.isArray(spec.database_users) ? spec.database_users.filter(isObject) : [];
  const owner = users.find((user) => user.db_owner === true) ?? users[0];
  return typeof owner?.username === "string" ? owner.username : undefined;
}
