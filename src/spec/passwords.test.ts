import { expect, test } from "bun:test";
import { sampleNode, sampleSpec } from "../../test/support/spec-samples.ts";
import { scramVerifier, verifies } from "../postgres/scram.ts";
import { toVerifiers } from "./passwords.ts";

const salt = (byte: number) => new Uint8Array(16).fill(byte);
const users = (password?: string) =>
  sampleSpec({
    database_users: [password === undefined ? { username: "app" } : { username: "app", password }],
  });

function convert(next: ReturnType<typeof users>, previous?: ReturnType<typeof users>) {
  let made = 0;
  const make = (password: string) => scramVerifier(password, salt(++made + 10), 4_096);
  const stored = toVerifiers(next, previous, make, verifies);
  return { password: stored.database_users?.[0]?.password, made };
}

test("a clear text becomes a verifier that accepts it", () => {
  const { password = "" } = convert(users("s3cret"));
  expect(password).toStartWith("SCRAM-SHA-256$4096:");
  expect(password).not.toContain("s3cret");
  expect(verifies(password, "s3cret")).toBe(true);
  expect(verifies(password, "other")).toBe(false);
});

test("the same clear text again keeps the stored verifier", () => {
  const stored = scramVerifier("s3cret", salt(1), 4_096);
  expect(convert(users("s3cret"), users(stored))).toEqual({ password: stored, made: 0 });
});

test("another clear text replaces it", () => {
  const stored = scramVerifier("s3cret", salt(1), 4_096);
  const { password = "", made } = convert(users("new"), users(stored));
  expect(made).toBe(1);
  expect(verifies(password, "new")).toBe(true);
});

test("a verifier stays as it is", () => {
  const given = scramVerifier("s3cret", salt(1), 4_096);
  expect(convert(users(given))).toEqual({ password: given, made: 0 });
});

test("the password of the REST API is hidden like one, of the database and of each node", () => {
  const ops = (password: string) => ({ patroni_authentication: { username: "ops", password } });
  const spec = (password: string) =>
    sampleSpec({
      ...ops(password),
      nodes: [sampleNode(ops(password)), sampleNode({ name: "n2" })],
    });
  let made = 0;
  const make = (password: string) => scramVerifier(password, salt(++made), 4_096);
  const first = toVerifiers(spec("s3cret"), undefined, make, verifies);
  expect(made).toBe(2);
  expect(JSON.stringify(first)).not.toContain("s3cret");
  expect(toVerifiers(spec("s3cret"), first, make, verifies)).toEqual(first);
  expect(made).toBe(2);
  const other = toVerifiers(spec("other"), first, make, verifies);
  expect(verifies(other.patroni_authentication?.password ?? "", "other")).toBe(true);
  expect(other.nodes[1]).toEqual(sampleNode({ name: "n2" }));
});

test("the password of another user is not taken for one's own", () => {
  const stored = sampleSpec({
    database_users: [{ username: "other", password: scramVerifier("same", salt(1), 4_096) }],
  });
  expect(convert(users("same"), stored).made).toBe(1);
});

test("a user without a password has none afterwards", () => {
  expect(convert(users())).toEqual({ password: undefined, made: 0 });
  expect(toVerifiers(sampleSpec(), undefined, String, verifies)).toEqual(sampleSpec());
});
