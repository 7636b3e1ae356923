// The OpenAPI document: complete, consistent, as committed, and comparable.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { compareDocuments } from "../../scripts/compare-openapi.ts";
import { GOLDEN_DOCUMENT, goldenText } from "../../scripts/openapi.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

let server: TestServer;
let served: Document;
beforeAll(async () => {
  server = startTestServer();
  const text = await (await fetch(`${server.url}/v1/openapi.json`)).text();
  served = JSON.parse(text);
});
afterAll(() => server.stop());

function operations(): readonly Operation[] {
  return Object.values(served.paths).flatMap((item) => Object.values(item));
}

/** A copy of the document with a change. */
function changed(change: (text: string) => string): unknown {
  const before = JSON.stringify(served);
  const after = change(before);
  expect(after === before).toBe(false);
  return JSON.parse(after);
}

describe("the document", () => {
  test("is the committed one", async () => {
    expect(await Bun.file(GOLDEN_DOCUMENT).text()).toBe(goldenText());
  });

  test("is served with the server's version", () => {
    const golden: Document = JSON.parse(goldenText());
    expect(served).toEqual({ ...golden, info: { ...golden.info, version: "1.2.3" } });
    expect(served.openapi).toMatch(/^3\./);
  });

  test("names every operation once and says what it does", () => {
    const names = operations().map(({ operationId }) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const { summary, tags } of operations()) {
      expect(summary).not.toBe("");
      expect(tags).toHaveLength(1);
    }
  });

  test("declares unexpected errors everywhere", () => {
    for (const { responses } of operations()) {
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(["500", "503", "default"]));
    }
  });

  test("refers only to what it defines, and defines nothing twice", () => {
    const { schemas } = served.components;
    const references = JSON.stringify(served).matchAll(/"#\/components\/schemas\/(\w+)"/g);
    for (const [, name] of references) expect(Object.keys(schemas)).toContain(String(name));
    // A name that clients of the existing document know.
    const numbered = Object.keys(schemas).filter((name) => /\d$/.test(name));
    expect(numbered).toEqual(["FailoverDatabaseNodeRequest2"]);
  });

  test("does not repeat a named object where it is used", () => {
    const inline = JSON.stringify(served.paths);
    expect(inline).not.toContain('"database_name"');
    expect(JSON.stringify(served.components.schemas.Database)).toContain(
      '"$ref":"#/components/schemas/DatabaseSpec"',
    );
  });

  test("leaves out what is not for clients", () => {
    expect(Object.keys(served.paths)).not.toContain("/v1/internal/cluster/join-options");
  });
});

describe("comparing", () => {
  test("a document equals itself", () => {
    expect(compareDocuments(served, served)).toEqual([]);
  });

  test("additions are no differences", () => {
    const more = changed((text) =>
      text.replace('"cohort":', '"colour":{"type":"string"},"cohort":'),
    );
    expect(compareDocuments(served, more)).toEqual([]);
    expect(compareDocuments(more, served)).toContain("GET /v1/hosts 200.hosts[].colour: missing");
  });

  test.each([
    ["a route", '"/v1/version"', '"/v1/versions"', "GET /v1/version: no such route"],
    ["an operation's name", '"get-version"', '"version"', "operationId get-version is version"],
    ["a limit", '"maxItems":9,', '"maxItems":8,', ".spec.nodes: maxItems 9 is 8"],
    ["a word", '"canceling",', "", "status: lacks canceling"],
    [
      "a type",
      '"write_gap_ms":{"type":"object"',
      '"write_gap_ms":{"type":"string"',
      "write_gap_ms: object is string",
    ],
    ["a pattern", '"pattern":"n[0-9]+"', '"pattern":"n[0-9]"', 'pattern "n[0-9]+" is "n[0-9]"'],
    ["a parameter", '"force_update"', '"forced"', "query force_update is missing"],
    ["a response", '"401":', '"402":', "POST /v1/cluster/join: response 401 not declared"],
  ])("finds that %s changed", (_, before, after, expected) => {
    const other = changed((text) => text.replaceAll(before, after));
    expect(compareDocuments(served, other).join("\n")).toContain(expected);
  });
});
