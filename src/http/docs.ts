// The OpenAPI document and its Swagger UI, which works without any other host: its files are part of the
// program.
import { type ElysiaOpenAPIConfig, openapi } from "@elysiajs/openapi";
import { Elysia } from "elysia";
import uiStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import uiScript from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import type { JsonObject } from "../base/json.ts";
import { OPENAPI_VERSION } from "./openapi.ts";
import { DOCUMENT_PATH } from "./root.ts";

export const DOCS_PATH = "/docs";
const SCRIPT_PATH = `${DOCS_PATH}/swagger-ui-bundle.js`;
const STYLE_PATH = `${DOCS_PATH}/swagger-ui.css`;

/** What the page may load: only what this server sends. */
const CONTENT_POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; frame-ancestors 'none'";

/** Routes of the document and the page. The plugin is handed the whole document and adds nothing to it. */
export function docs(document: JsonObject) {
  const hidden = { detail: { hide: true } };
  return new Elysia({ name: "docs" })
    .onAfterHandle({ as: "scoped" }, ({ path, set }) => {
      if (path.startsWith(DOCS_PATH)) set.headers["content-security-policy"] = CONTENT_POLICY;
    })
    .get(SCRIPT_PATH, () => asset(uiScript, "text/javascript"), hidden)
    .get(STYLE_PATH, () => asset(uiStyle, "text/css"), hidden)
    .use(
      openapi({
        path: DOCS_PATH,
        specPath: DOCUMENT_PATH,
        provider: "swagger-ui",
        openapiVersion: OPENAPI_VERSION,
        // The plugin's type of a document is that of another library; ours is plain JSON of the same shape.
        documentation: document as ElysiaOpenAPIConfig["documentation"] & object,
        exclude: { staticFile: true },
        swagger: {
          cdn: SCRIPT_PATH,
          theme: STYLE_PATH,
          autoDarkMode: false,
          // The plugin's type lacks the first option and this value of the second. Without them the page asks
          // for the document by a relative path, and shows a badge from swagger.io unless it is on loopback.
          ...({ url: DOCUMENT_PATH, validatorUrl: null } as object),
        },
      }),
    );
}

function asset(path: string, type: string): Response {
  return new Response(Bun.file(path), {
    headers: { "content-type": `${type}; charset=utf-8`, "cache-control": "public, max-age=3600" },
  });
}
