// A failure of the way to a host, as opposed to what was to be done there.
import { AppError, type ErrorKind, messageOf } from "../../base/errors.ts";

/** How far it got. */
export type SshPhase = "resolve" | "connect" | "host key" | "authenticate" | "channel";

/** Names the host and the phase; retryable unless only a changed configuration can mend it. */
export class SshError extends AppError {
  readonly hostId: string;
  readonly phase: SshPhase;

  constructor(kind: ErrorKind, hostId: string, phase: SshPhase, cause: unknown) {
    super(kind, `ssh to ${hostId}: ${phase}: ${messageOf(cause)}`, { cause });
    this.name = "SshError";
    this.hostId = hostId;
    this.phase = phase;
  }
}
