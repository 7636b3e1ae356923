// Writes the OpenAPI document of the API to test/golden/openapi.json, so that its changes show in review.
//   bun scripts/openapi.ts [--check]     --check: only says whether the file is up to date
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { allEndpoints } from "../src/http/app.ts";
import { openapiDocument } from "../src/http/openapi.ts";

export const GOLDEN_DOCUMENT = join(import.meta.dir, "../test/golden/openapi.json");

/** The document with a version that does not change. */
export function goldenText(): string {
  const version = { version: "0.0.0", revision: "", revision_time: "", arch: "" };
  const stopping = new AbortController().signal;
  const endpoints = allEndpoints({ clock: systemClock, version, stopping });
  return `${JSON.stringify(openapiDocument(endpoints, version.version), undefined, 2)}\n`;
}

if (import.meta.main) {
  const text = goldenText();
  const file = Bun.file(GOLDEN_DOCUMENT);
  const before = (await file.exists()) ? await file.text() : "";
  if (!process.argv.includes("--check")) await Bun.write(GOLDEN_DOCUMENT, text);
  else if (before !== text) {
    console.error("test/golden/openapi.json is not up to date: run bun scripts/openapi.ts");
    process.exit(1);
  }
}
