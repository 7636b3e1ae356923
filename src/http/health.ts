// Whether the process lives, and whether it can serve: for service managers and load balancers.
import { Type } from "@sinclair/typebox";
import { closed, oneOf } from "../spec/closed.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

export const Liveness = closed({ status: oneOf(["ok"]) });

export const Readiness = closed({
  status: oneOf(["ready", "not_ready"]),
  /** What is not ready, in words. */
  problems: Type.Array(Type.String()),
});

export function healthEndpoints(stopping: AbortSignal): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/livez",
      operationId: "get-liveness",
      tag: "System",
      summary: "Whether the process answers",
      beforeInit: true,
      answers: { 200: Liveness },
      errors: [],
      handle: async () => ({ status: "ok" }),
    }),
    endpoint({
      method: "GET",
      path: "/readyz",
      operationId: "get-readiness",
      tag: "System",
      summary: "Whether requests about databases can be served",
      beforeInit: true,
      answers: { 200: Readiness, 503: Readiness },
      errors: [],
      async handle({ operations }) {
        const problems = stopping.aborted
          ? ["the server is stopping"]
          : await operations.readiness();
        const ready = problems.length === 0;
        const body = { status: ready ? "ready" : "not_ready", problems };
        return Response.json(body, { status: ready ? 200 : 503 });
      },
    }),
  ];
}
