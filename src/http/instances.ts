// Routes of the instances of a database.

import { closed } from "../spec/closed.ts";
import {
  RestartInstanceRequest,
  RestartInstanceResponse,
  StartInstanceResponse,
  StopInstanceResponse,
} from "../spec/requests.ts";
import { Task } from "../spec/task.ts";
import { ReinitializeRequest } from "../spec/topology.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { Force, InstancePath } from "./parameters.ts";

const InstanceTaskResponse = closed({ task: Task });

export function instanceEndpoints(): readonly Endpoint[] {
  return [
    restartInstance,
    stopInstance,
    startInstance,
    instanceVerb("reload", "Let PostgreSQL of an instance read its configuration again"),
    instanceVerb("checkpoint", "Make a checkpoint in an instance"),
    instanceVerb("promote", "Make a standby the primary, by a switchover"),
    instanceVerb(
      "rewind",
      "Turn the data of a standby back to the history of its primary",
      "Stops it in order, compares, and runs pg_rewind when it left that history; the task's log says whether there " +
        "was anything to rewind. What only it had is kept aside. Nothing else is tried when it fails. Refused for " +
        "the primary.",
    ),
    reinitializeInstance,
  ];
}

const restartInstance = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/instances/{instance_id}/restart",
  operationId: "restart-instance",
  tag: "Database",
  summary: "Restart PostgreSQL of an instance",
  params: InstancePath,
  body: RestartInstanceRequest,
  answers: { 200: RestartInstanceResponse },
  errors: [400, 404, 409],
  async handle({ operations, params, body }) {
    const databaseId = identifier("database_id", params.database_id);
    const at = body.scheduled_at;
    return { task: await operations.restartInstance(databaseId, params.instance_id, at) };
  },
});

const stopInstance = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/instances/{instance_id}/stop-instance",
  operationId: "stop-instance",
  tag: "Database",
  summary: "Stop PostgreSQL of an instance",
  params: InstancePath,
  query: Force,
  answers: { 200: StopInstanceResponse },
  errors: [400, 404, 409],
  async handle({ operations, params, query }) {
    const databaseId = identifier("database_id", params.database_id);
    const forced = query.force ?? false;
    return { task: await operations.stopInstance(databaseId, params.instance_id, forced) };
  },
});

const startInstance = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/instances/{instance_id}/start-instance",
  operationId: "start-instance",
  tag: "Database",
  summary: "Start PostgreSQL of an instance",
  params: InstancePath,
  query: Force,
  answers: { 200: StartInstanceResponse },
  errors: [400, 404, 409],
  async handle({ operations, params, query }) {
    const databaseId = identifier("database_id", params.database_id);
    const forced = query.force ?? false;
    return { task: await operations.startInstance(databaseId, params.instance_id, forced) };
  },
});

function instanceVerb(
  verb: "reload" | "checkpoint" | "promote" | "rewind",
  summary: string,
  description?: string,
): Endpoint {
  return endpoint({
    method: "POST",
    path: `/v1/databases/{database_id}/instances/{instance_id}/${verb}`,
    operationId: `${verb}-instance`,
    tag: "Database",
    summary,
    ...(description === undefined ? {} : { description }),
    params: InstancePath,
    answers: { 200: InstanceTaskResponse },
    errors: [400, 404, 409],
    handle: async ({ operations, params }) => ({
      task: await operations.nodes[verb](placeOf(params)),
    }),
  });
}

const reinitializeInstance = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/instances/{instance_id}/reinitialize",
  operationId: "reinitialize-instance",
  tag: "Database",
  summary: "Copy the data of a standby anew",
  description: "What it had is kept aside until the copy streams. Refused for the primary.",
  params: InstancePath,
  body: ReinitializeRequest,
  answers: { 200: InstanceTaskResponse },
  errors: [400, 404, 409],
  handle: async ({ operations, params, body }) => ({
    task: await operations.nodes.reinitialize(placeOf(params), body),
  }),
});

function placeOf(params: { readonly database_id: string; readonly instance_id: string }) {
  return {
    databaseId: identifier("database_id", params.database_id),
    instanceId: params.instance_id,
  };
}
