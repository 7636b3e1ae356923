import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { sampleHost, sampleNode, sampleSpec, specs } from "../../test/support/spec-samples.ts";
import { applyDefaults } from "./defaults.ts";

const two = (n1: object = {}, n2: object = {}) =>
  sampleSpec({ nodes: [sampleNode(n1), sampleNode({ name: "n2", host_ids: ["h2"], ...n2 })] });

test.each([
  ["the newest that both have", ["15.18", "17.11", "18.4"], ["17.11", "15.18"], "17.11"],
  ["a release rather than a beta", ["17.11", "19beta1"], ["17.11", "19beta1"], "17.11"],
  ["an exact match before a newer major", ["15.18", "18.4"], ["15.18", "18.3"], "15.18"],
  ["the lower minor where none is the same", ["17.11"], ["17.10"], "17.10"],
  [
    "the newest common major where no minor is the same",
    ["15.18", "17.11"],
    ["15.17", "17.9"],
    "17.9",
  ],
  ["none where no major is common", ["15.18"], ["17.11"], undefined],
  ["none where nothing is installed", ["15.18"], [], undefined],
])("the version is %s", (_, h1, h2, expected) => {
  const hosts = [sampleHost("h1", ...h1), sampleHost("h2", ...h2)];
  expect(applyDefaults(two(), hosts).postgres_version).toBe(expected);
});

test("hosts that the spec does not use have no say", () => {
  const hosts = [sampleHost("h1", "17.11"), sampleHost("h9", "15.18")];
  expect(applyDefaults(sampleSpec(), hosts).postgres_version).toBe("17.11");
});

test("hosts of nodes with a version of their own have no say", () => {
  const hosts = [sampleHost("h1", "17.11"), sampleHost("h2", "15.18")];
  const filled = applyDefaults(two({}, { postgres_version: "15.18" }), hosts);
  expect(filled.postgres_version).toBe("17.11");
  expect(filled.nodes[1]?.postgres_version).toBe("15.18");
});

test("a version that was given stays", () => {
  const hosts = [sampleHost("h1", "15.18", "17.11")];
  expect(applyDefaults(sampleSpec({ postgres_version: "15.18" }), hosts).postgres_version).toBe(
    "15.18",
  );
});

test.each([
  ["everywhere the same", ["17.11 5.0.4"], ["17.11 5.1.0"], "5"],
  ["different majors", ["17.11 5.0.4"], ["17.11 4.0.9"], undefined],
  ["missing on one", ["17.11 5.0.4"], ["17.11"], undefined],
  ["only with another PostgreSQL", ["17.11", "15.18 5.0.4"], ["17.11", "15.18 5.0.4"], undefined],
])("Spock: %s", (_, h1, h2, expected) => {
  const hosts = [sampleHost("h1", ...h1), sampleHost("h2", ...h2)];
  expect(applyDefaults(two(), hosts).spock_version).toBe(expected);
});

const versions = fc.subarray(["15.18", "16.14 5.0.4", "17.11 5.0.4", "17.10", "18.4 5.0.6"]);
const someHosts = fc
  .tuple(versions, versions, versions)
  .map((offers) => offers.map((offer, index) => sampleHost(`h${index + 1}`, ...offer)));

test("applying defaults again changes nothing, and nothing that was given is changed", () => {
  fc.assert(
    fc.property(specs, someHosts, (spec, hosts) => {
      const once = applyDefaults(spec, hosts);
      expect(applyDefaults(once, hosts)).toEqual(once);
      expect({ ...once, ...spec }).toEqual(once);
      expect(once.nodes).toEqual(spec.nodes);
    }),
  );
});
