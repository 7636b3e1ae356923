// Requests that are refused before anybody looks at their meaning.
import type { ShapeProblem } from "../spec/shape.ts";

/** Names of the v1 API for a request whose shape is wrong. */
export type MalformedName =
  | Exclude<ShapeProblem["code"], "unknown_field">
  | "decode_payload"
  | "missing_payload";

export interface MalformedProblem {
  readonly path: string;
  readonly code: MalformedName | "unknown_field";
  readonly message: string;
  readonly hint?: string;
}

/**
 * A request with the wrong shape, and every problem with it. An unknown field is a `decode_payload`,
 * as it is for a strict decoder of the same API.
 */
export class MalformedRequest extends Error {
  override readonly name = "MalformedRequest";
  readonly problems: readonly MalformedProblem[];

  constructor(problems: readonly MalformedProblem[]) {
    super(problems.map(lineOf).join("; "));
    this.problems = problems;
  }

  static of(code: MalformedName, path: string, message: string): MalformedRequest {
    return new MalformedRequest([{ path, code, message }]);
  }

  /** The first problem gives the name, as where several errors are merged into one. */
  get errorName(): MalformedName {
    const code = this.problems[0]?.code ?? "decode_payload";
    return code === "unknown_field" ? "decode_payload" : code;
  }
}

function lineOf({ path, message, hint }: MalformedProblem): string {
  return `${path}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
}

/** A body longer than the server reads. */
export class PayloadTooLarge extends Error {
  override readonly name = "PayloadTooLarge";
  readonly bytesMax: number;

  constructor(bytesMax: number) {
    super(`the body has more than ${bytesMax} bytes`);
    this.bytesMax = bytesMax;
  }
}

/** A page of another site tries to change something through the browser of somebody here. */
export class ForeignPage extends Error {
  override readonly name = "ForeignPage";
}

/** No such path, or no such method on it. */
export class NoSuchRoute extends Error {
  override readonly name = "NoSuchRoute";
  /** Methods that the path does have; empty = no such path. */
  readonly allowed: readonly string[];

  constructor(method: string, path: string, allowed: readonly string[]) {
    super(
      allowed.length === 0
        ? `no such path: ${path}`
        : `${path} has no ${method}, only ${allowed.join(", ")}`,
    );
    this.allowed = allowed;
  }
}
