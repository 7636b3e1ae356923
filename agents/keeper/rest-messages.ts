// A request to the REST API, its answer, and what an answer asks the keeper to do.
import type { IntentPayload } from "../../src/ha/state.ts";

export interface RestRequest {
  readonly method: string;
  /** With query, e.g. "/replica?lag=1MB". */
  readonly url: string;
  /** undefined when there was none. */
  readonly body: string | undefined;
  /** The caller may change things: loopback or a host of the database. */
  readonly trusted: boolean;
  /** The header of that name; undefined when there was none. */
  readonly authorization?: string | undefined;
}

export interface RestAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** To be carried out; what comes of it replaces the answer above, which is that of success. */
  readonly command?: RestCommand;
}

export type RestCommand =
  | { readonly kind: "reload" }
  | { readonly kind: "restart"; readonly reason: string }
  | { readonly kind: "schedule_restart"; readonly schedule: string; readonly atMs: number }
  | { readonly kind: "unschedule_restart" }
  /** Open the intent; where it is due at once, wait for what comes of it. */
  | { readonly kind: "handover"; readonly payload: Handover; readonly atMs: number | null }
  /** Cancel the change of the primary that waits for its time. */
  | { readonly kind: "unschedule_handover"; readonly id: string }
  | { readonly kind: "intend"; readonly payload: IntentPayload }
  | { readonly kind: "end_intents"; readonly ids: readonly string[] };

export type Handover = Extract<IntentPayload, { readonly kind: "switchover" | "failover" }>;

/** Patroni calls its plain texts HTML. */
export function text(status: number, body: string): RestAnswer {
  return { status, contentType: "text/html", body };
}
