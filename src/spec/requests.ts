// Bodies of requests about one instance, node or host, and their answers, which are a task each.
import { type Static, Type } from "@sinclair/typebox";
import { closed } from "./closed.ts";
import { Timestamp } from "./fields.ts";
import { Task } from "./task.ts";

export const RestartInstanceRequest = closed({ scheduled_at: Type.Optional(Timestamp) });
export type RestartInstanceRequest = Static<typeof RestartInstanceRequest>;

export const RestartInstanceResponse = closed({ task: Task });
export type RestartInstanceResponse = Static<typeof RestartInstanceResponse>;

export const StopInstanceResponse = closed({ task: Task });
export type StopInstanceResponse = Static<typeof StopInstanceResponse>;

export const StartInstanceResponse = closed({ task: Task });
export type StartInstanceResponse = Static<typeof StartInstanceResponse>;

export const SwitchoverDatabaseNodeRequestBody = closed({
  candidate_instance_id: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  scheduled_at: Type.Optional(Timestamp),
});
export type SwitchoverDatabaseNodeRequestBody = Static<typeof SwitchoverDatabaseNodeRequestBody>;

export const SwitchoverDatabaseNodeResponse = closed({ task: Task });
export type SwitchoverDatabaseNodeResponse = Static<typeof SwitchoverDatabaseNodeResponse>;

/** Named as the existing document names it; clients generated from it use the name. */
export const FailoverDatabaseNodeRequest2 = closed({
  candidate_instance_id: Type.Optional(Type.String()),
  skip_validation: Type.Optional(Type.Boolean({ default: false })),
});
export type FailoverDatabaseNodeRequest2 = Static<typeof FailoverDatabaseNodeRequest2>;

export const FailoverDatabaseNodeResponse = closed({ task: Task });
export type FailoverDatabaseNodeResponse = Static<typeof FailoverDatabaseNodeResponse>;

export const BackupDatabaseNodeResponse = closed({ task: Task });
export type BackupDatabaseNodeResponse = Static<typeof BackupDatabaseNodeResponse>;

export const RemoveHostResponse = closed({
  task: Task,
  update_database_tasks: Type.Array(Task),
});
export type RemoveHostResponse = Static<typeof RemoveHostResponse>;

export const ReplaceHostRequest = closed({
  replacement: Type.String({
    minLength: 1,
    maxLength: 36,
    description: "Id of the host that takes its place; it is in the cluster already.",
  }),
  force: Type.Optional(
    Type.Boolean({ description: "Also while the host answers: what runs there is given up." }),
  ),
});
export type ReplaceHostRequest = Static<typeof ReplaceHostRequest>;

export const ReplaceHostResponse = closed({
  task: Task,
  update_database_tasks: Type.Array(Task),
  lost: Type.Array(
    closed({
      database_id: Type.String(),
      node_name: Type.String(),
      instance_id: Type.String(),
      message: Type.String(),
    }),
    { description: "Data that was on the host alone." },
  ),
});
export type ReplaceHostResponse = Static<typeof ReplaceHostResponse>;
