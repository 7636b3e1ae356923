import { expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  identifierProblem,
  instanceId,
  nodeOrdinal,
  parseDatabaseId,
  parseInstanceId,
  parseNodeName,
} from "./ids.ts";

test.each([
  "a",
  "0",
  "shop",
  "host-1",
  "a-b-c",
  "x".repeat(36),
  "6f1c2b1e-7c55-4a57-8e0f-9f3d1c2b3a4d",
])("%s is an identifier", (text) => {
  expect(identifierProblem(text)).toBeUndefined();
  expect(parseDatabaseId(text).ok).toBe(true);
});

test.each(["", "-a", "a-", "a--b", "A", "a_b", "a.b", "é", "a\n", "a b", "x".repeat(37)])(
  "%j is no identifier",
  (text) => {
    expect(identifierProblem(text)).toBeString();
    expect(parseDatabaseId(text).ok).toBe(false);
  },
);

test.each(["n1", "n9", "n10", "n999"])("%s is a node name", (text) => {
  expect(parseNodeName(text).ok).toBe(true);
  expect(nodeOrdinal(text)).toBe(Number(text.slice(1)));
});

test.each(["", "n", "n0", "n01", "xn1", "n1y", "xn1y", "N1", "n1000", "n-1", "n1\n"])(
  "%j is no node name",
  (text) => {
    expect(parseNodeName(text).ok).toBe(false);
    expect(nodeOrdinal(text)).toBeUndefined();
  },
);

// The hashes were computed apart from this program, from the SHA-1 of the host's id.
test.each([
  ["host-1", "689qacsi"],
  ["h1", "k4iwoiol"],
  ["us-east-1", "n5fe2mcy"],
])("the instance on %s ends in %s", (host, hash) => {
  expect(String(instanceId("storefront", "n1", host))).toBe(`storefront-n1-${hash}`);
});

test("an instance id fits into 63 characters and parses, whatever it is made of", () => {
  const host = fc.stringMatching(/^[a-z0-9]{1,36}$/);
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 999 }), (hostId, ordinal) => {
      const id = instanceId("d".repeat(36), `n${ordinal}`, hostId);
      expect(id.length).toBeLessThanOrEqual(63);
      expect(parseInstanceId(id).ok).toBe(true);
    }),
  );
});

test("an instance id is not made of anything else", () => {
  expect(() => instanceId("../etc", "n1", "h1")).toThrow();
});
