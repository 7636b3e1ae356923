// Identifiers in paths and queries. Their length is part of the schema; their alphabet is checked here.
import { invalidInput } from "../operations/errors.ts";
import { identifierProblem } from "../spec/ids.ts";

/** The text when it is an identifier; otherwise throws invalid_input for the parameter. */
export function identifier(name: string, text: string): string {
  const message = identifierProblem(text);
  if (message === undefined) return text;
  throw invalidInput([{ path: name, code: "invalid_identifier", message }]);
}
