// Operations on nodes in memory: every node is a primary `<database>-n1-a` with one standby `<database>-n1-b`.
import { OperationError } from "../../src/operations/errors.ts";
import type { NodeOperations, NodePlace } from "../../src/operations/node-operations.ts";
import type { Task, TaskType } from "../../src/spec/task.ts";

type NewTask = (type: TaskType, databaseId: string, instanceId?: string) => Promise<Task>;

/** `newTask` makes a task of a database, or throws not_found. */
export function fakeNodes(newTask: NewTask): NodeOperations {
  const task = (type: TaskType, { databaseId, nodeName }: NodePlace) => {
    if (nodeName !== "n1") throw new OperationError("invalid_input", `there is no ${nodeName}`);
    return newTask(type, databaseId);
  };
  return {
    switchover: async (place) => task("switchover", place),
    failover: async (place) => task("failover", place),
  };
}
