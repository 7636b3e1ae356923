// What a user can ask of the nodes of a database and their instances as far as high availability goes.
import type {
  FailoverDatabaseNodeRequest2,
  SwitchoverDatabaseNodeRequestBody,
} from "../spec/requests.ts";
import type { Task } from "../spec/task.ts";

export interface NodePlace {
  readonly databaseId: string;
  readonly nodeName: string;
}

/** All methods throw OperationError (errors.ts) for declared errors. */
export interface NodeOperations {
  switchover(place: NodePlace, request: SwitchoverDatabaseNodeRequestBody): Promise<Task>;
  failover(place: NodePlace, request: FailoverDatabaseNodeRequest2): Promise<Task>;
}
