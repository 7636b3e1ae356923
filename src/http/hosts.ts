// Routes of hosts.
import { Host, ListHostsResponse } from "../spec/host.ts";
import { RemoveHostResponse } from "../spec/requests.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { Force, HostPath } from "./parameters.ts";

export function hostEndpoints(): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/hosts",
      operationId: "list-hosts",
      tag: "Host",
      summary: "All hosts",
      answers: { 200: ListHostsResponse },
      errors: [409],
      handle: async ({ operations }) => ({ hosts: await operations.listHosts() }),
    }),
    endpoint({
      method: "GET",
      path: "/v1/hosts/{host_id}",
      operationId: "get-host",
      tag: "Host",
      summary: "One host",
      params: HostPath,
      answers: { 200: Host },
      errors: [400, 404, 409],
      handle: ({ operations, params }) => operations.getHost(identifier("host_id", params.host_id)),
    }),
    endpoint({
      method: "DELETE",
      path: "/v1/hosts/{host_id}",
      operationId: "remove-host",
      tag: "Host",
      summary: "Remove a host from the cluster",
      params: HostPath,
      query: Force,
      answers: { 200: RemoveHostResponse },
      errors: [400, 404, 409],
      handle: ({ operations, params, query }) =>
        operations.removeHost(identifier("host_id", params.host_id), query.force ?? false),
    }),
  ];
}
