// Routes of high availability: what nodes look like, what can be changed of them, and what they did.
import { Type } from "@sinclair/typebox";
import { invalidInput, OperationError } from "../operations/errors.ts";
import type { NodePlace } from "../operations/node-operations.ts";
import { closed } from "../spec/closed.ts";
import { UpdateDatabaseResponse } from "../spec/database.ts";
import { PlanView } from "../spec/plan-view.ts";
import {
  NodeExplanation,
  NodeHistory,
  NodePause,
  PauseNodeRequest,
  Synchronous,
  SynchronousChange,
  Topology,
  TopologyChange,
  UpstreamChange,
} from "../spec/topology.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { identifier } from "./identifiers.ts";
import { nodePlace } from "./nodes.ts";
import { DatabasePath, dryRun, IfMatch, InstancePath, NodePath, revision } from "./parameters.ts";

export function topologyEndpoints(): readonly Endpoint[] {
  return [
    getTopology,
    putTopology,
    getSynchronous,
    putSynchronous,
    patchUpstream,
    pauseNode,
    resumeNode,
    nodeHistory,
    explainNode,
  ];
}

const lost = Type.Optional(
  Type.Array(Type.String(), { allowEmptyValue: true, description: "Repeat for several." }),
);
const changed = { 200: Type.Union([UpdateDatabaseResponse, PlanView]) };
const change = {
  tag: "Database",
  headers: IfMatch,
  query: closed({ dry_run: dryRun }),
  answers: changed,
  errors: [400, 404, 409, 412],
} as const;

const getTopology = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/topology",
  operationId: "get-topology",
  tag: "Database",
  summary: "Primaries and standbys of a database",
  params: DatabasePath,
  answers: { 200: Topology },
  errors: [400, 404, 409],
  async handle({ operations, params }) {
    const id = identifier("database_id", params.database_id);
    const topology = await operations.nodes.topology(id);
    return Response.json(topology, { headers: { etag: `"${topology.revision}"` } });
  },
});

const putTopology = endpoint({
  ...change,
  method: "PUT",
  path: "/v1/databases/{database_id}/topology",
  operationId: "put-topology",
  summary: "Change who follows whom, and how commits wait",
  description:
    "A change of the spec: what is left out stays. Who is primary changes by a switchover only, never here.",
  params: DatabasePath,
  body: TopologyChange,
  async handle({ operations, params, query, body, headers }) {
    const asked = {
      databaseId: identifier("database_id", params.database_id),
      change: body,
      ifRevision: revision(headers),
    };
    return query.dry_run
      ? operations.nodes.planTopology(asked)
      : operations.nodes.putTopology(asked);
  },
});

const getSynchronous = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/nodes/{node_name}/synchronous",
  operationId: "get-synchronous",
  tag: "Database",
  summary: "How commits of a node wait for its standbys",
  params: NodePath,
  answers: { 200: Synchronous },
  errors: [400, 404, 409],
  async handle({ operations, params }) {
    const { databaseId, nodeName } = nodePlace(params);
    const { nodes } = await operations.nodes.topology(databaseId);
    const node = nodes.find(({ name }) => name === nodeName);
    return (node ?? unknownNode({ databaseId, nodeName })).synchronous;
  },
});

const putSynchronous = endpoint({
  ...change,
  method: "PUT",
  path: "/v1/databases/{database_id}/nodes/{node_name}/synchronous",
  operationId: "put-synchronous",
  summary: "Change how commits of a node wait for its standbys",
  params: NodePath,
  body: SynchronousChange,
  async handle({ operations, params, query, body, headers }) {
    const { databaseId, nodeName } = nodePlace(params);
    const asked = {
      databaseId,
      change: { nodes: [{ name: nodeName, synchronous: body }] },
      ifRevision: revision(headers),
    };
    return query.dry_run
      ? operations.nodes.planTopology(asked)
      : operations.nodes.putTopology(asked);
  },
});

const patchUpstream = endpoint({
  ...change,
  method: "PATCH",
  path: "/v1/databases/{database_id}/instances/{instance_id}/upstream",
  operationId: "set-upstream",
  summary: "Let a standby follow another standby, or the primary",
  params: InstancePath,
  body: closed({ upstream: UpstreamChange }),
  async handle({ operations, params, query, body, headers }) {
    const databaseId = identifier("database_id", params.database_id);
    const { nodes } = await operations.nodes.topology(databaseId);
    const { instance_id } = params;
    const node = nodes.find(({ instances }) =>
      instances.some((instance) => instance.instance_id === instance_id),
    );
    const name = (node ?? unknownInstance(databaseId, instance_id)).name;
    const asked = {
      databaseId,
      change: { nodes: [{ name, instances: [{ instance_id, upstream: body.upstream }] }] },
      ifRevision: revision(headers),
    };
    return query.dry_run
      ? operations.nodes.planTopology(asked)
      : operations.nodes.putTopology(asked);
  },
});

const pauseNode = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/nodes/{node_name}/pause",
  operationId: "pause-node",
  tag: "Database",
  summary: "Let nothing happen by itself for a time",
  description:
    "No promotion, no restart, no copy. A primary that loses its lease still ends. Ends by itself after `ttl_s`.",
  params: NodePath,
  body: PauseNodeRequest,
  answers: { 200: NodePause },
  errors: [400, 404, 409],
  handle: ({ operations, params, body }) => operations.nodes.pause(nodePlace(params), body),
});

const resumeNode = endpoint({
  method: "POST",
  path: "/v1/databases/{database_id}/nodes/{node_name}/resume",
  operationId: "resume-node",
  tag: "Database",
  summary: "End a pause",
  params: NodePath,
  answers: { 200: NodePause },
  errors: [400, 404, 409],
  handle: ({ operations, params }) => operations.nodes.resume(nodePlace(params)),
});

const nodeHistory = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/nodes/{node_name}/history",
  operationId: "get-node-history",
  tag: "Database",
  summary: "Who was primary of a node when, why, and what was lost",
  params: NodePath,
  answers: { 200: NodeHistory },
  errors: [400, 404, 409],
  handle: ({ operations, params }) => operations.nodes.history(nodePlace(params)),
});

const explainNode = endpoint({
  method: "GET",
  path: "/v1/databases/{database_id}/nodes/{node_name}/explain",
  operationId: "explain-node",
  tag: "Database",
  summary: "What would happen now if an instance or a host died",
  description:
    "By the same function that would decide it. All that is named dies at once; each instance by itself when " +
    "nothing is named.",
  params: NodePath,
  query: closed({ instance_id: lost, host_id: lost }),
  answers: { 200: NodeExplanation },
  errors: [400, 404, 409],
  handle: ({ operations, params, query }) =>
    operations.nodes.explain(nodePlace(params), {
      instanceIds: query.instance_id ?? [],
      hostIds: query.host_id ?? [],
    }),
});

function unknownNode({ databaseId, nodeName }: NodePlace): never {
  const message = `database ${databaseId} has no node ${nodeName}`;
  throw invalidInput([{ path: "node_name", code: "unknown", message }]);
}

function unknownInstance(databaseId: string, instanceId: string): never {
  const message = `database ${databaseId} has no instance ${instanceId}`;
  throw new OperationError("not_found", message);
}
