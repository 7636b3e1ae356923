// Routes of hosts.

import { AddHostRequest, AddHostResponse } from "../spec/add-host.ts";
import { Host, ListHostsResponse, MaintenanceRequest, UpdateHostRequest } from "../spec/host.ts";
import { HostDoctorResponse } from "../spec/host-doctor.ts";
import { RemoveHostResponse, ReplaceHostRequest, ReplaceHostResponse } from "../spec/requests.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { Force, HostPath, HostSelection } from "./parameters.ts";

const addHost = endpoint({
  method: "POST",
  path: "/v1/hosts",
  operationId: "add-host",
  tag: "Host",
  summary: "Make a machine with sshd a host",
  description:
    "The machine is looked at first: what speaks against it is answered, all at once, and nothing is changed. " +
    "Then a task puts the program there. With `join` it becomes a member with a server of its own; without, " +
    "the members manage it over SSH. Credentials are stored sealed and never answered.",
  body: AddHostRequest,
  answers: { 200: AddHostResponse },
  errors: [400, 409],
  handle: ({ operations, body }) => operations.addHost(body),
});

const doctor = endpoint({
  method: "GET",
  path: "/v1/hosts/{host_id}/doctor",
  operationId: "get-host-doctor",
  tag: "Host",
  summary: "What is wrong with a host, and how it is mended",
  description: "Looks at the host now, which takes some seconds. Changes nothing.",
  params: HostPath,
  answers: { 200: HostDoctorResponse },
  errors: [400, 404, 409],
  handle: ({ operations, params }) => operations.hostDoctor(identifier("host_id", params.host_id)),
});

export function hostEndpoints(): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/v1/hosts",
      operationId: "list-hosts",
      tag: "Host",
      summary: "All hosts",
      query: HostSelection,
      answers: { 200: ListHostsResponse },
      errors: [400, 409],
      handle: async ({ operations, query }) => ({ hosts: await operations.listHosts(query.label) }),
    }),
    addHost,
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
    doctor,
    endpoint({
      method: "PATCH",
      path: "/v1/hosts/{host_id}",
      operationId: "update-host",
      tag: "Host",
      summary: "Change a host's labels and addresses for clients",
      params: HostPath,
      body: UpdateHostRequest,
      answers: { 200: Host },
      errors: [400, 404, 409],
      handle: ({ operations, params, body }) =>
        operations.updateHost(identifier("host_id", params.host_id), body),
    }),
    endpoint({
      method: "PUT",
      path: "/v1/hosts/{host_id}/maintenance",
      operationId: "start-host-maintenance",
      tag: "Host",
      summary: "Give a host no new instances",
      description:
        "Instances that it has go on. With `drain` another instance becomes primary of every node whose primary is there, or nothing happens.",
      params: HostPath,
      body: MaintenanceRequest,
      answers: { 200: Host },
      errors: [400, 404, 409],
      handle: ({ operations, params, body }) =>
        operations.startMaintenance(identifier("host_id", params.host_id), body),
    }),
    endpoint({
      method: "DELETE",
      path: "/v1/hosts/{host_id}/maintenance",
      operationId: "end-host-maintenance",
      tag: "Host",
      summary: "Take a host back into service",
      params: HostPath,
      answers: { 200: Host },
      errors: [400, 404, 409],
      handle: ({ operations, params }) =>
        operations.endMaintenance(identifier("host_id", params.host_id)),
    }),
    endpoint({
      method: "POST",
      path: "/v1/hosts/{host_id}/replace",
      operationId: "replace-host",
      tag: "Host",
      summary: "Put another host in the place of one that is gone",
      description:
        "In every database and in the cluster, or nowhere. The answer names the data that was on the host alone.",
      params: HostPath,
      body: ReplaceHostRequest,
      answers: { 200: ReplaceHostResponse },
      errors: [400, 404, 409],
      handle: ({ operations, params, body }) =>
        operations.replaceHost(identifier("host_id", params.host_id), body),
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
