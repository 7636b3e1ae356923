// Bodies of error responses.
import { type Static, Type } from "@sinclair/typebox";
import { closed } from "./closed.ts";

/** One problem with a request; the same fields as a Diagnostic. */
export const FieldError = closed({
  path: Type.String({ description: "Field path such as `spec.nodes[0].port`." }),
  code: Type.String({ description: "Stable word for programs." }),
  message: Type.String(),
  hint: Type.Optional(Type.String()),
});
export type FieldError = Static<typeof FieldError>;

export const APIError = closed({
  name: Type.String(),
  message: Type.String(),
  errors: Type.Optional(
    Type.Array(FieldError, { description: "Every problem with the request, where it has any." }),
  ),
});
export type APIError = Static<typeof APIError>;

/** A request whose shape is wrong is answered with this instead of an APIError. */
export const FrameworkError = closed({
  name: Type.String(),
  id: Type.String(),
  message: Type.String(),
  temporary: Type.Boolean(),
  timeout: Type.Boolean(),
  fault: Type.Boolean(),
  errors: Type.Optional(Type.Array(FieldError)),
});
export type FrameworkError = Static<typeof FrameworkError>;
