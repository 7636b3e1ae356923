// Fields that several objects share. What a pattern cannot say is checked in validate.ts and ids.ts.
import { Type } from "@sinclair/typebox";

/** Length of an identifier; its alphabet is the business of ids.ts, which gives a better message. */
export const Identifier = Type.String({ minLength: 1, maxLength: 36 });

/** RFC 3339, UTC. */
export const Timestamp = Type.String({ format: "date-time" });

/** A TCP port to listen on; 0 = a free one that then stays the same. */
export const ListenPort = Type.Integer({ format: "int64", minimum: 0, maximum: 65535 });

/** CPUs as a number with up to three decimals, or in thousandths with the suffix `m`. */
export const Cpus = Type.String({ pattern: "^[0-9]+(\\.[0-9]{1,3}|m)?$" });

/** Bytes with an SI or IEC unit, e.g. `512MiB`. */
export const Memory = Type.String({ maxLength: 16 });

/** Major and minor version of PostgreSQL. */
export const PostgresVersion = Type.String({ pattern: "^\\d{2}\\.\\d{1,2}$" });

/** Unanchored on the wire; validate.ts asks for exactly `n` and a number. */
export const NodeName = Type.String({ pattern: "n[0-9]+" });

/** Name of a database inside PostgreSQL. */
export const DatabaseName = Type.String({ minLength: 1, maxLength: 31 });

export const Strings = Type.Array(Type.String());
