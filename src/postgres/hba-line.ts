// Reads single lines of pg_hba.conf and pg_ident.conf as the server does (manual, "Client
// Authentication" 21.1 and 21.2), to refuse those that would keep it from starting.
import { isIP, isIPv4 } from "node:net";
import { identMapName } from "./hba.ts";

const HOST_TYPES = ["host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];
const INCLUDES = ["include", "include_if_exists", "include_dir"];
const INCLUDE_MAJOR_MIN = 16;
const OAUTH_MAJOR_MIN = 18;
const METHODS = [
  "trust",
  "reject",
  "scram-sha-256",
  "md5",
  "password",
  "gss",
  "sspi",
  "ident",
  "peer",
  "ldap",
  "radius",
  "cert",
  "pam",
  "bsd",
  "oauth",
];

/** What is wrong with a line of pg_hba.conf; undefined for a good, empty or comment line. */
export function hbaLineProblem(line: string): string | undefined {
  const fields = splitLine(line);
  if (typeof fields === "string") return fields;
  const [type] = fields;
  if (type === undefined) return undefined;
  if (INCLUDES.includes(type)) return includeProblem(fields);
  if (type === "local") {
    return fields.length < 4
      ? "a local line needs database, user and method"
      : methodProblem(type, fields.slice(3));
  }
  if (!HOST_TYPES.includes(type)) return `begins with an unknown connection type: ${type}`;
  if (fields.length < 5) return `a ${type} line needs database, user, address and method`;
  const address = addressFields(fields.slice(3));
  if (typeof address === "string") return address;
  return methodProblem(type, fields.slice(3 + address));
}

/** What is wrong with a line of pg_ident.conf; undefined for a good, empty or comment line. */
export function identLineProblem(line: string): string | undefined {
  const fields = splitLine(line);
  if (typeof fields === "string") return fields;
  const [first] = fields;
  if (first === undefined) return undefined;
  if (INCLUDES.includes(first)) return includeProblem(fields);
  // A line more in this map would let a system user in as the control plane's superuser.
  if (first === identMapName) return `the map ${identMapName} is the control plane's own`;
  return fields.length === 3
    ? undefined
    : "needs map name, system user name and database user name";
}

/**
 * First major version that understands a line of pg_hba.conf or pg_ident.conf, 0 for all: include
 * lines came with 16, the method oauth with 18.
 */
export function lineMajorMin(line: string): number {
  const fields = splitLine(line);
  if (typeof fields === "string") return 0;
  if (INCLUDES.includes(fields[0] ?? "")) return INCLUDE_MAJOR_MIN;
  return HOST_TYPES.includes(fields[0] ?? "") && fields.slice(4, 6).includes("oauth")
    ? OAUTH_MAJOR_MIN
    : 0;
}

/** The fields of a line without its comment, or what is wrong with it. A list joined by commas is one field. */
function splitLine(line: string): readonly string[] | string {
  if (/[\r\n\0]/.test(line)) return "must not contain line breaks or NUL";
  if (line.endsWith("\\"))
    return "must not end with a backslash, which would swallow the next line";
  const fields: string[] = [];
  let field: string | undefined;
  let quoted = false;
  let listGoesOn = false;
  for (const char of line) {
    if (char === "#" && !quoted) break;
    if (/\s/.test(char) && !quoted) {
      if (field !== undefined && !listGoesOn) {
        fields.push(field);
        field = undefined;
      }
      continue;
    }
    listGoesOn = char === "," && !quoted;
    if (char === '"') quoted = !quoted;
    field = (field ?? "") + (char === '"' ? "" : char);
  }
  if (field !== undefined) fields.push(field);
  return quoted ? "has a double quote that is not closed" : fields;
}

function includeProblem(fields: readonly string[]): string | undefined {
  return fields.length === 2 ? undefined : `${fields[0]} needs exactly one file name`;
}

/** How many fields the address takes, one or two; or what is wrong with it. */
function addressFields(fields: readonly string[]): 1 | 2 | string {
  const [address = "", next = ""] = fields;
  const [ip = "", bits] = address.split("/");
  if (bits !== undefined) {
    const most = isIPv4(ip) ? 32 : 128;
    const possible = isIP(ip) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
    return possible ? 1 : `has a malformed address: ${address}`;
  }
  if (isIP(address) === 0) return 1;
  if (isIP(next) !== isIP(address))
    return `the address ${address} needs a mask, e.g. ${address}/32`;
  return fields.length < 3 ? "has no method" : 2;
}

function methodProblem(type: string, fields: readonly string[]): string | undefined {
  const [method = "", ...options] = fields;
  if (!METHODS.includes(method)) return `has an unknown method: ${method}`;
  if (method === "peer" && type !== "local") return "the method peer works on local lines only";
  if (method === "cert" && type !== "hostssl") return "the method cert works on hostssl lines only";
  if (["gss", "sspi"].includes(method) && type === "local") {
    return `the method ${method} does not work on local lines`;
  }
  const bare = options.find((option) => !option.includes("="));
  return bare === undefined ? undefined : `has an option that is not name=value: ${bare}`;
}
