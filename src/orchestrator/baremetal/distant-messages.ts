// What the program on a host without a server is asked to do with the keepers there, and what it answers:
// one JSON document on its input, JSON lines on its output.
import type { HostFacts } from "../../plan/placement.ts";
import type { ObservedKeeper } from "../driver.ts";
import type { WantedKeeper } from "./keeper-runner.ts";

export type DistantRequest = { readonly host: HostFacts } & (
  | { readonly verb: "ensure"; readonly wanted: WantedKeeper; readonly changed: boolean }
  | { readonly verb: "stop" | "remove"; readonly wanted: WantedKeeper }
  | { readonly verb: "observe" | "revive" }
);

export type DistantAnswer =
  | { readonly log: string; readonly fields?: Readonly<Record<string, unknown>> }
  | { readonly done: readonly ObservedKeeper[] }
  | { readonly error: string; readonly retryable: boolean };
