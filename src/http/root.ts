// What a client asks before it knows anything: where the API is described, and who answers.
import { VersionInfo } from "../spec/version-info.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

export const DOCUMENT_PATH = "/v1/openapi.json";

export function rootEndpoints(version: VersionInfo): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/",
      operationId: "get-root",
      tag: "System",
      summary: "Where the API is described",
      beforeInit: true,
      hidden: true,
      answers: { 204: null },
      errors: [],
      handle: async () =>
        new Response(null, {
          status: 204,
          headers: { link: `<${DOCUMENT_PATH}>; rel="service-desc"` },
        }),
    }),
    endpoint({
      method: "GET",
      path: "/v1/version",
      operationId: "get-version",
      tag: "System",
      summary: "Version of this server",
      beforeInit: true,
      answers: { 200: VersionInfo },
      errors: [],
      handle: async () => version,
    }),
  ];
}
