// What a step works on that gives a node another primary. No plan leaves it behind.
import type { PrimaryInputs } from "./inputs.ts";
import type { Resource } from "./resource.ts";

export interface PrimaryPlace {
  readonly databaseId: string;
  readonly nodeName: string;
  /** Host of one of the instances, for the log. */
  readonly hostId: string;
  readonly inputs: PrimaryInputs;
}

export function primaryResource(place: PrimaryPlace): Resource {
  const { databaseId, nodeName, hostId, inputs } = place;
  const id = `${databaseId}-${nodeName}`;
  return { kind: "database.primary", id, hostId, nodeName, inputs, dependsOn: [] };
}
