// What is refused of who may change things through the REST API.
import { expect, test } from "bun:test";
import { sampleNode, sampleSpec } from "../../test/support/spec-samples.ts";
import { retainSecrets } from "./retain.ts";
import { checkRestAuthentication } from "./validate-rest.ts";

const problems = (username: string, password?: string) => {
  const given = { username, ...(password === undefined ? {} : { password }) };
  return checkRestAuthentication(sampleNode({ patroni_authentication: given }), "nodes[0].").map(
    ({ path, code }) => `${path} ${code}`,
  );
};

test("a user needs a name that fits into a header, and a password", () => {
  const at = "nodes[0].patroni_authentication";
  expect(checkRestAuthentication(sampleNode(), "nodes[0].")).toEqual([]);
  expect(problems("ops", "s3cr:et")).toEqual([]);
  expect(problems("o:ps", "s3cret")).toEqual([`${at}.username malformed`]);
  expect(problems("ops")).toEqual([`${at}.password required`]);
  expect(problems("ops", "a\nb")).toEqual([`${at}.password malformed`]);
  const key = `${"A".repeat(43)}=`;
  const verifier = (iterations: number) => `SCRAM-SHA-256$${iterations}:AAAA$${key}:${key}`;
  expect(problems("ops", verifier(65_536))).toEqual([]);
  expect(problems("ops", verifier(65_537))).toEqual([`${at}.password unsupported`]);
});

test("an update that leaves the password out keeps it for the same user, and for nobody else", () => {
  const ops = { username: "ops", password: "hidden" };
  const stored = sampleSpec({ patroni_authentication: ops });
  const next = (username: string) =>
    retainSecrets(stored, sampleSpec({ patroni_authentication: { username } }));
  expect(next("ops").patroni_authentication).toEqual(ops);
  expect(next("eve").patroni_authentication).toEqual({ username: "eve" });
  expect(retainSecrets(stored, sampleSpec()).patroni_authentication).toBeUndefined();
});
