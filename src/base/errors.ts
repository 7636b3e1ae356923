// The one error class that is thrown across layers; ordinary outcomes are Results instead.

/** retryable: the same call may work later. terminal: it will not. bug: our own mistake. */
export type ErrorKind = "retryable" | "terminal" | "bug";

/** An error with a kind; each layer may add one prefix of context with `inContext`. */
export class AppError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "AppError";
    this.kind = kind;
  }
}

/** For what is tried again anyway: an ordinary failure is of little interest, anything else is a mistake of ours. */
export function levelOf(thrown: unknown): "debug" | "error" {
  return thrown instanceof AppError && thrown.kind !== "bug" ? "debug" : "error";
}

/** The text of anything thrown, on one line, without a stack. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.replaceAll(/\s*\n\s*/g, " ").trim();
}

/** Wraps anything thrown with a prefix, keeping its kind (terminal when it had none). */
export function inContext(context: string, thrown: unknown): AppError {
  const kind = thrown instanceof AppError ? thrown.kind : "terminal";
  return new AppError(kind, `${context}: ${messageOf(thrown)}`, { cause: thrown });
}

/** Whether this is the outcome of an aborted signal or a passed deadline. */
export function isAbort(thrown: unknown): boolean {
  return (
    thrown instanceof Error && (thrown.name === "AbortError" || thrown.name === "TimeoutError")
  );
}
