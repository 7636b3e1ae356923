// Parameters that several routes share. `allowEmptyValue`: `?name=` means the same as leaving it out.
import { Type } from "@sinclair/typebox";
import { requestKeyCharsMax } from "../base/limits.ts";
import { closed, oneOf } from "../spec/closed.ts";
import { Identifier, NodeName } from "../spec/fields.ts";
import { MalformedRequest } from "./malformed.ts";

const TaskId = Type.String({ format: "uuid" });

export const DatabasePath = closed({ database_id: Identifier });
export const HostPath = closed({ host_id: Identifier });
export const NodePath = closed({ database_id: Identifier, node_name: NodeName });
export const InstancePath = closed({
  database_id: Identifier,
  instance_id: Type.String({ minLength: 1, maxLength: 63 }),
});
export const DatabaseTaskPath = closed({ database_id: Identifier, task_id: TaskId });
export const HostTaskPath = closed({ host_id: Identifier, task_id: TaskId });

const empty = { allowEmptyValue: true } as const;

export const force = Type.Optional(Type.Boolean({ ...empty, default: false }));

/** An empty value is refused here: it must never turn a dry run into a real one. */
export const dryRun = Type.Optional(
  Type.Boolean({ default: false, description: "Only answer the plan; change nothing." }),
);

export const include = Type.Optional(
  Type.Array(Type.String(), {
    ...empty,
    description: "Repeat for several. Known: `available_upgrades`; others are ignored.",
  }),
);

const limit = Type.Optional(
  Type.Integer({ ...empty, format: "int64", minimum: 0, description: "0 = no limit." }),
);

export const SORT_ORDERS = ["asc", "ascend", "ascending", "desc", "descend", "descending"] as const;

const paging = {
  after_task_id: Type.Optional(
    Type.String({ ...empty, format: "uuid", description: "Continue after this task." }),
  ),
  limit,
  sort_order: Type.Optional(
    oneOf(SORT_ORDERS, { ...empty, description: "By time of creation; newest first by default." }),
  ),
};

export const Force = closed({ force });
export const HostSelection = closed({
  label: Type.Optional(
    Type.Array(Type.String({ maxLength: 1_024 }), {
      ...empty,
      description:
        "Only hosts with these labels: `key`, `!key`, `key=value` or `key!=value`, repeated or parted by commas.",
    }),
  ),
});
export const TaskPaging = closed(paging);
export const AllTasksQuery = closed({
  scope: Type.Optional(oneOf(["database", "host"], empty)),
  entity_id: Type.Optional(
    Type.String({
      ...empty,
      minLength: 1,
      maxLength: 36,
      description: "Id of the database or host; needs `scope`.",
    }),
  ),
  ...paging,
});

export const LogQuery = closed({
  after_entry_id: Type.Optional(
    Type.String({ ...empty, format: "uuid", description: "Only entries after this one." }),
  ),
  limit,
  follow: Type.Optional(
    Type.Boolean({
      default: false,
      description: "Stream entries as server-sent events until the task has ended.",
    }),
  ),
});

export const IdempotencyHeader = closed({
  "Idempotency-Key": Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: requestKeyCharsMax,
      description: "A repeated request with the same key and body gets the first one's answer.",
    }),
  ),
});

export const IfMatch = closed({
  "If-Match": Type.Optional(
    Type.String({ description: 'Revision that is changed, e.g. `"41"`; 412 when it is another.' }),
  ),
});

/** The number in `"41"`, `W/"41"` or `41`; undefined without the header, or for `*`. */
export function revision(headers: Headers): number | undefined {
  const text = headers.get("if-match");
  if (text === null || text === "*") return undefined;
  const digits = /^(?:W\/)?"?(\d{1,15})"?$/.exec(text.trim())?.[1];
  if (digits !== undefined) return Number(digits);
  throw MalformedRequest.of("invalid_format", "header.If-Match", 'must be a revision such as "41"');
}

/** A page of tasks in the terms of operations. */
export function taskPage(query: {
  readonly after_task_id?: string;
  readonly limit?: number;
  readonly sort_order?: (typeof SORT_ORDERS)[number];
}): { afterTaskId?: string; limit?: number; order: "asc" | "desc" } {
  return {
    ...(query.after_task_id === undefined ? {} : { afterTaskId: query.after_task_id }),
    ...(query.limit === undefined ? {} : { limit: query.limit }),
    order: query.sort_order?.startsWith("asc") ? "asc" : "desc",
  };
}
