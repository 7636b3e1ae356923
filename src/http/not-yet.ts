// Routes of the v1 API that this version declares, checks the shape of, and refuses.
import { OperationError } from "../operations/errors.ts";

/** Rejects with the declared error for a verb that this version does not have. */
export async function notInThisVersion(what: string): Promise<never> {
  throw new OperationError("operation_not_supported", `${what} is not available in this version`);
}
