// The Swagger UI in a real browser: it renders, lists the operations, and asks no other host for anything.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPage } from "../support/browser.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

const chromium =
  Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");
if (!chromium) console.log("docs-ui: skipped: there is no chromium (scripts/test.sh installs it)");

let server: TestServer;
let profile: string;
beforeAll(() => {
  server = startTestServer();
  profile = mkdtempSync(join(tmpdir(), "pgherd-chromium-"));
});
afterAll(async () => {
  await server.stop();
  rmSync(profile, { recursive: true, force: true });
});

test.skipIf(!chromium)(
  "the Swagger UI shows every operation without any other host",
  async () => {
    const document: unknown = await (await fetch(`${server.url}/v1/openapi.json`)).json();
    const names = JSON.stringify(document).matchAll(/"operationId":"([\w-]+)","tags":\["(\w+)"\]/g);
    const wanted = [...names].map(([, name, tag]) => `operations-${tag}-${name}`);
    expect(wanted.length).toBeGreaterThan(30);
    const page = await openPage(chromium ?? "", profile, `${server.url}/docs`);
    try {
      const shown = await page.until(
        "[...document.querySelectorAll('.opblock')].map(({ id }) => id)",
        (ids) => Array.isArray(ids) && ids.length > 0,
      );
      expect(shown).toEqual(expect.arrayContaining(wanted));
      expect(shown).toHaveLength(wanted.length);
      expect(await page.evaluate("document.querySelector('.title').textContent")).toContain(
        "pgherd",
      );
      expect(await page.evaluate("document.querySelector('.errors-wrapper')")).toBeNull();
      const others = page.requested.filter((url) => !/^(data:|blob:)/.test(url));
      expect(others.map((url) => new URL(url).origin)).toEqual(others.map(() => server.url));
      expect(others).toContain(`${server.url}/v1/openapi.json`);
    } finally {
      await page.close();
    }
  },
  90_000,
);

test("the page names no other host", async () => {
  const html = await (await fetch(`${server.url}/docs`)).text();
  expect([...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url)).toEqual([
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
  ]);
  expect(html).toContain('"url":"/v1/openapi.json"');
  expect(html).toContain('"validatorUrl":null');
});

test("the page may load nothing from elsewhere", async () => {
  for (const path of ["/docs", "/docs/"]) {
    const { headers } = await fetch(server.url + path);
    expect(headers.get("content-security-policy")).toContain("default-src 'self'");
  }
});
