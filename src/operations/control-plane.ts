// The operations of a real control plane: one file per verb, put together.
import { rfc3339 } from "../base/clock.ts";
import { addHost } from "./add-host.ts";
import { cancelTask } from "./cancel-task.ts";
import { createNodeOperations } from "./control-nodes.ts";
import { createDatabase, planCreate } from "./create-database.ts";
import { deleteDatabase, planDelete } from "./delete-database.ts";
import type { OperationsDeps } from "./deps.ts";
import { followTaskLog } from "./follow-log.ts";
import { hostDoctor } from "./host-doctor.ts";
import { endMaintenance, startMaintenance, updateHost } from "./host-settings.ts";
import { createInitialiser, joinToken } from "./init-cluster.ts";
import { createJoinToken, listJoinTokens, revokeToken } from "./join-tokens.ts";
import { createDatabaseLister } from "./list-databases.ts";
import type { Operations } from "./operations.ts";
import {
  getCluster,
  getDatabase,
  getHost,
  getTask,
  listHosts,
  listTasks,
  readiness,
  taskLog,
} from "./queries.ts";
import { removeHost } from "./remove-host.ts";
import { replaceHost } from "./replace-host.ts";
import { restartInstance } from "./restart-instance.ts";
import { runtimeOf } from "./runtime.ts";
import { startInstance } from "./start-instance.ts";
import { stopInstance } from "./stop-instance.ts";
import { planUpdate, updateDatabase } from "./update-database.ts";

export function createOperations(deps: OperationsDeps): Operations {
  const initialiser = createInitialiser(deps);
  const listDatabases = createDatabaseLister(deps);
  return {
    initialised: () => deps.runtime() !== undefined,
    initCluster: (clusterId) => initialiser.init(clusterId),
    joinCluster: (request) => initialiser.join(request),
    admit: (request) => runtimeOf(deps).admit(request),
    getCluster: () => getCluster(deps),
    joinToken: () => joinToken(deps),
    recoverQuorum: () => runtimeOf(deps).recoverQuorum(),
    rotateCertificates: async () => ({
      requested_at: rfc3339(await runtimeOf(deps).rotateCertificates()),
    }),
    backup: () => runtimeOf(deps).backup(),
    restore: (file) => runtimeOf(deps).restore(file),
    listJoinTokens: () => listJoinTokens(deps),
    createJoinToken: (request) => createJoinToken(deps, request),
    revokeJoinToken: (tokenId) => revokeToken(deps, tokenId),
    listHosts: (selectors) => listHosts(deps, selectors),
    getHost: (hostId) => getHost(deps, hostId),
    updateHost: (hostId, request) => updateHost(deps, hostId, request),
    startMaintenance: (hostId, request) => startMaintenance(deps, hostId, request),
    endMaintenance: (hostId) => endMaintenance(deps, hostId),
    replaceHost: (hostId, request) => replaceHost(deps, hostId, request),
    hostDoctor: (hostId) => hostDoctor(deps, hostId),
    addHost: (request) => addHost(deps, request),
    removeHost: (hostId, force) => removeHost(deps, hostId, force),
    listDatabases,
    getDatabase: (databaseId) => getDatabase(deps, databaseId),
    createDatabase: (request, key) => createDatabase(deps, request, key),
    planCreate: (request) => planCreate(deps, request),
    updateDatabase: (databaseId, request, forceUpdate, removeHosts = []) =>
      updateDatabase(deps, { databaseId, request, forceUpdate, removeHosts }),
    planUpdate: (databaseId, request, forceUpdate, removeHosts = []) =>
      planUpdate(deps, { databaseId, request, forceUpdate, removeHosts }),
    deleteDatabase: (databaseId, force) => deleteDatabase(deps, databaseId, force),
    planDelete: (databaseId, force) => planDelete(deps, databaseId, force),
    restartInstance: (databaseId, instanceId, scheduledAt) =>
      restartInstance(deps, { databaseId, instanceId, scheduledAt }),
    stopInstance: (databaseId, instanceId, force) =>
      stopInstance(deps, { databaseId, instanceId, force }),
    startInstance: (databaseId, instanceId, force) =>
      startInstance(deps, { databaseId, instanceId, force }),
    nodes: createNodeOperations(deps),
    listTasks: (scope, entityId, page) => listTasks(deps, { scope, entityId }, page),
    getTask: (scope, entityId, taskId) => getTask(deps, { scope, entityId, taskId }),
    taskLog: (scope, entityId, taskId, page) => taskLog(deps, { scope, entityId, taskId }, page),
    followTaskLog: (scope, entityId, taskId, afterEntryId, signal) =>
      followTaskLog(deps, { scope, entityId, taskId }, afterEntryId, signal),
    cancelTask: (databaseId, taskId) => cancelTask(deps, databaseId, taskId),
    readiness: () => readiness(deps),
  };
}
