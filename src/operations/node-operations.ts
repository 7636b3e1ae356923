// What a user can ask of the nodes of a database and their instances as far as high availability goes.
import type { UpdateDatabaseResponse } from "../spec/database.ts";
import type { PlanView } from "../spec/plan-view.ts";
import type {
  FailoverDatabaseNodeRequest2,
  SwitchoverDatabaseNodeRequestBody,
} from "../spec/requests.ts";
import type { NodeSlots, SlotSpec } from "../spec/slots.ts";
import type { Task } from "../spec/task.ts";
import type {
  NodeExplanation,
  NodeHistory,
  NodePause,
  PauseNodeRequest,
  ReinitializeRequest,
  Topology,
  TopologyChange,
} from "../spec/topology.ts";

export interface NodePlace {
  readonly databaseId: string;
  readonly nodeName: string;
}

export interface InstancePlace {
  readonly databaseId: string;
  readonly instanceId: string;
}

/** A change of what is known as `ifRevision`; undefined = whatever is there. */
export interface ChangeOfTopology {
  readonly databaseId: string;
  readonly change: TopologyChange;
  readonly ifRevision: number | undefined;
}

/** A change of the permanent slots of a node as of `ifRevision`; undefined = whatever is there. */
export interface ChangeOfSlots extends NodePlace {
  readonly change:
    | { readonly kind: "create"; readonly slot: SlotSpec }
    | { readonly kind: "drop"; readonly name: string };
  readonly ifRevision: number | undefined;
}

/** What dies; nothing = each instance by itself. */
export interface Losses {
  readonly instanceIds: readonly string[];
  readonly hostIds: readonly string[];
}

/** All methods throw OperationError (errors.ts) for declared errors. */
export interface NodeOperations {
  switchover(place: NodePlace, request: SwitchoverDatabaseNodeRequestBody): Promise<Task>;
  failover(place: NodePlace, request: FailoverDatabaseNodeRequest2): Promise<Task>;
  pause(place: NodePlace, request: PauseNodeRequest): Promise<NodePause>;
  resume(place: NodePlace): Promise<NodePause>;
  history(place: NodePlace): Promise<NodeHistory>;
  explain(place: NodePlace, losses: Losses): Promise<NodeExplanation>;
  topology(databaseId: string): Promise<Topology>;
  putTopology(change: ChangeOfTopology): Promise<UpdateDatabaseResponse>;
  planTopology(change: ChangeOfTopology): Promise<PlanView>;
  slots(place: NodePlace): Promise<NodeSlots>;
  changeSlots(change: ChangeOfSlots): Promise<UpdateDatabaseResponse>;
  planSlots(change: ChangeOfSlots): Promise<PlanView>;
  reload(place: InstancePlace): Promise<Task>;
  checkpoint(place: InstancePlace): Promise<Task>;
  promote(place: InstancePlace): Promise<Task>;
  reinitialize(place: InstancePlace, request: ReinitializeRequest): Promise<Task>;
  rewind(place: InstancePlace): Promise<Task>;
}
