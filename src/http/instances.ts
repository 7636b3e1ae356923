// Routes of the instances of a database.
import {
  RestartInstanceRequest,
  RestartInstanceResponse,
  StartInstanceResponse,
  StopInstanceResponse,
} from "../spec/requests.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { Force, InstancePath } from "./parameters.ts";

export function instanceEndpoints(): readonly Endpoint[] {
  return [restartInstance, stopInstance, startInstance];
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
