// What to do next: the first rule whose condition holds. Pure, total, and small enough to enumerate.
// The rules never start PostgreSQL on data that is not this instance's, and never make data where some was.
import type { RunGoal } from "../../src/ha/action.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import type { PendingRequest } from "../../src/store/ha-store.ts";

/** What the keeper sees of its instance. */
export interface Observed {
  readonly data:
    | { readonly kind: "absent" }
    | { readonly kind: "ready" }
    | { readonly kind: "refused"; readonly reason: string };
  readonly process:
    | { readonly kind: "unknown" }
    | { readonly kind: "stopping" }
    | { readonly kind: "running" }
    | {
        readonly kind: "stopped";
        /** How it ended by itself since the last start; absent after an ordered stop. */
        readonly crash?: string;
        /** It never accepted a connection, and the configuration files may be the reason. */
        readonly filesSuspected: boolean;
        /** Time to wait before it is started again. */
        readonly waitMs: number;
      };
  /** Whether PostgreSQL accepts connections. */
  readonly accepting: boolean;
  readonly configuration: {
    /** same: as wanted, and read. unread: as wanted, but read before. different: other files are there. */
    readonly files: "same" | "unread" | "different";
    /** Why PostgreSQL refused the wanted files. */
    readonly refusal: string | undefined;
    /** The wanted files are not those that were refused, but older ones with what has to change all the same. */
    readonly substituted: boolean;
    /** There are files on disk, and they are not those that were refused. */
    readonly usable: boolean;
    /** There are files that PostgreSQL started with before, and they differ from those on disk. */
    readonly fallback: boolean;
  };
  /** Settings that wait for a restart. */
  readonly pendingRestart: readonly string[];
  /** Settings that somebody overrode with ALTER SYSTEM. */
  readonly overridden: readonly string[];
  /** It runs as a standby; undefined while it does not answer. */
  readonly inRecovery: boolean | undefined;
  /** Certificate files changed since PostgreSQL read them. */
  readonly certificatesChanged: boolean;
}

/** What is wanted of the keeper. */
export interface Wanted {
  /** Absent until the store has one. */
  readonly config: InstanceConfig | undefined;
  /** The configuration comes from the store, not from the copy of an earlier run. */
  readonly fromStore: boolean;
  readonly appliedGeneration: number;
  /** Generation for which PostgreSQL was restarted last. */
  readonly restartedGeneration: number;
  readonly requests: readonly PendingRequest[];
  /** What the group wants of this instance; undefined where there is no group. */
  readonly goal: RunGoal | undefined;
  /** The group does something to PostgreSQL that takes long; it is left alone meanwhile. */
  readonly held: boolean;
  /** A request is being worked on. */
  readonly busy: boolean;
  /** A restart that was asked for through the REST API. */
  readonly restartReason: string | undefined;
  /** A reload was asked for through the REST API. */
  readonly reloadAsked: boolean;
}

export type Action =
  | { readonly kind: "none" }
  | { readonly kind: "bootstrap" }
  | { readonly kind: "write_configuration" }
  | { readonly kind: "restore_configuration"; readonly error: string }
  | { readonly kind: "apply_configuration" }
  | { readonly kind: "apply_while_starting" }
  | { readonly kind: "start" }
  | { readonly kind: "stop" }
  | { readonly kind: "restart"; readonly request?: PendingRequest }
  | { readonly kind: "reload" }
  | { readonly kind: "serve"; readonly request: PendingRequest }
  | {
      readonly kind: "decline";
      readonly request: PendingRequest;
      readonly why: string;
      /** Another member would do it. */
      readonly notPrimary?: true;
    };

export interface Decision {
  readonly action: Action;
  /** What was decided and why. */
  readonly sentence: string;
  /** Why the instance is not as it should be; goes into the report. */
  readonly error?: string;
  /** The configuration is in effect as far as it can be. */
  readonly settled: boolean;
}

interface View extends Observed, Wanted {
  readonly config: InstanceConfig;
}

interface Rule {
  readonly name: string;
  readonly when: (view: View) => boolean;
  readonly decide: (view: View) => Decision;
}

const none: Action = { kind: "none" };

function rest(sentence: string, error?: string): Decision {
  return { action: none, sentence, settled: false, ...(error === undefined ? {} : { error }) };
}

function act(action: Action, sentence: string): Decision {
  return { action, sentence, settled: false };
}

/** In order; the last one always holds. */
export const RULES: readonly Rule[] = [
  {
    name: "stopped instance answers requests",
    when: (v) => v.config.run === "stopped" && isStopped(v) && v.requests.length > 0,
    decide: (v) => declineFirst(v, "the instance is stopped"),
  },
  {
    name: "stopped as wanted",
    when: (v) => v.config.run === "stopped" && isStopped(v) && !mayRun(v),
    decide: () => ({ ...rest("stopped, as it should be"), settled: true }),
  },
  {
    name: "stop for the group",
    when: (v) => v.goal?.kind === "stopped" && v.process.kind === "running",
    decide: (v) => act({ kind: "stop" }, `stopping: ${v.goal?.kind === "stopped" && v.goal.why}`),
  },
  {
    name: "stop",
    when: (v) => !v.goal && v.config.run === "stopped" && v.process.kind === "running",
    decide: () => act({ kind: "stop" }, "stopping: the instance should not run"),
  },
  {
    name: "not to be started by the group's word",
    when: (v) => v.goal !== undefined && !mayRun(v) && isStopped(v),
    decide: (v) => rest(v.goal && "why" in v.goal ? v.goal.why : "waiting for the group"),
  },
  {
    name: "no new data without the store",
    when: (v) => !v.goal && isWanted(v) && v.data.kind === "absent" && !v.fromStore,
    decide: () => rest("waiting for the store before data is made"),
  },
  {
    name: "bootstrap",
    when: (v) => !v.goal && isWanted(v) && v.data.kind === "absent",
    decide: () => act({ kind: "bootstrap" }, "making the data directory: there is none yet"),
  },
  {
    name: "fencer unreachable",
    when: (v) => v.process.kind === "unknown",
    decide: () => rest("waiting for the fencer"),
  },
  {
    name: "stopping",
    when: (v) => v.process.kind === "stopping",
    decide: () => rest("waiting for PostgreSQL to end"),
  },
  {
    name: "refused data",
    when: (v) => v.data.kind === "refused",
    decide: (v) => {
      const why = v.data.kind === "refused" ? v.data.reason : "";
      return rest(`not touching the data directory: ${why}`, why);
    },
  },
  {
    name: "go back to files that ran",
    when: (v) => filesSuspected(v) && v.configuration.fallback,
    decide: (v) => {
      const error = `PostgreSQL does not start with the new configuration: ${crashOf(v)}`;
      return act(
        { kind: "restore_configuration", error },
        `going back to the last files: ${error}`,
      );
    },
  },
  {
    name: "write files before a start",
    when: (v) => isStopped(v) && v.configuration.files === "different" && mayWrite(v),
    decide: () =>
      act({ kind: "write_configuration" }, "writing the configuration before the start"),
  },
  {
    name: "no files to start with",
    when: (v) => isStopped(v) && v.configuration.refusal !== undefined && !v.configuration.usable,
    decide: (v) => refusedConfiguration(v),
  },
  {
    name: "wait after a crash",
    when: (v) => v.process.kind === "stopped" && v.process.waitMs > 0,
    decide: (v) => rest(`waiting before the next start: ${crashOf(v)}`, crashOf(v)),
  },
  {
    name: "start",
    when: isStopped,
    decide: (v) => {
      const why = crashOf(v) === "" ? "it should run" : crashOf(v);
      return act({ kind: "start" }, `starting PostgreSQL: ${why}`);
    },
  },
  {
    name: "apply configuration while it starts",
    when: (v) =>
      !v.accepting && v.goal?.kind === "standby" && v.configuration.files !== "same" && mayWrite(v),
    decide: () =>
      act(
        { kind: "apply_while_starting" },
        "applying the configuration while PostgreSQL starts: it may follow another from now on",
      ),
  },
  {
    name: "not accepting yet",
    when: (v) => !v.accepting,
    decide: () => rest("waiting for PostgreSQL to accept connections"),
  },
  {
    name: "held by the group",
    when: (v) => v.held,
    decide: (v) => rest(v.goal && "why" in v.goal ? v.goal.why : "long work is under way"),
  },
  {
    name: "apply configuration",
    when: (v) => v.configuration.files !== "same" && mayWrite(v),
    decide: (v) =>
      act({ kind: "apply_configuration" }, `applying generation ${v.config.generation}`),
  },
  {
    name: "ordered restart",
    when: (v) => restartOrdered(v) && !v.busy,
    decide: (v) =>
      act({ kind: "restart" }, `restarting: ${v.pendingRestart.join(", ")} wait for it`),
  },
  {
    name: "restart through the REST API",
    when: (v) => v.restartReason !== undefined && !v.busy,
    decide: (v) => act({ kind: "restart" }, `restarting: ${v.restartReason}`),
  },
  {
    name: "certificates",
    when: (v) => v.certificatesChanged,
    decide: () => act({ kind: "reload" }, "reloading: certificate files changed"),
  },
  {
    name: "reload through the REST API",
    when: (v) => v.reloadAsked,
    decide: () => act({ kind: "reload" }, "reloading: asked for through the REST API"),
  },
  {
    name: "not for a standby",
    when: (v) => !v.busy && needsPrimary(dueRequest(v)) && isStandby(v),
    decide: (v) =>
      withRequest(v, (request) => {
        const why = "this instance is not the primary of its node";
        const action = { kind: "decline", request, why, notPrimary: true } as const;
        return act(action, `declining ${request.id}: ${why}`);
      }),
  },
  {
    name: "requested restart",
    when: (v) => !v.busy && dueRequest(v)?.payload.kind === "restart",
    decide: (v) =>
      withRequest(v, (request) => act({ kind: "restart", request }, reasonOf(request))),
  },
  {
    name: "serve",
    when: (v) => !v.busy && dueRequest(v) !== undefined,
    decide: (v) =>
      withRequest(v, (request) =>
        act({ kind: "serve", request }, `working on ${request.payload.kind} of ${request.id}`),
      ),
  },
  {
    name: "refused configuration",
    when: (v) => v.configuration.refusal !== undefined,
    decide: refusedConfiguration,
  },
  {
    name: "settled",
    when: () => true,
    decide: (v) => ({ ...rest(settledSentence(v)), settled: !restartOrdered(v) }),
  },
];

/** The next action and one sentence about it. */
export function decide(observed: Observed, wanted: Wanted): Decision {
  const { config } = wanted;
  if (!config) return rest("waiting for a configuration");
  const view: View = { ...observed, ...wanted, config };
  const rule = RULES.find((candidate) => candidate.when(view));
  return rule ? rule.decide(view) : rest("nothing to do");
}

function isStopped(view: View): boolean {
  return view.process.kind === "stopped";
}

function isWanted(view: View): boolean {
  return view.config.run === "running";
}

/** PostgreSQL has not refused the wanted files. */
function mayWrite({ configuration }: View): boolean {
  return configuration.refusal === undefined || configuration.substituted;
}

/** PostgreSQL may be started as far as the group is concerned. */
function mayRun({ goal, config, data }: View): boolean {
  if (data.kind !== "ready") return false;
  return config.run === "running" && (goal?.kind === "primary" || goal?.kind === "standby");
}

function isStandby({ goal, inRecovery }: View): boolean {
  return goal !== undefined && inRecovery === true;
}

/** Work that writes is for the primary. */
function needsPrimary(request: PendingRequest | undefined): boolean {
  const forAll = ["restart", "reload", "checkpoint"];
  return request !== undefined && !forAll.includes(request.payload.kind);
}

function filesSuspected(view: View): boolean {
  return view.process.kind === "stopped" && view.process.crash !== undefined
    ? view.process.filesSuspected
    : false;
}

function crashOf(view: View): string {
  return view.process.kind === "stopped" ? (view.process.crash ?? "") : "";
}

/** Pending settings, ordered by this generation's plan, and not restarted for it already. */
function restartOrdered(view: View): boolean {
  const { generation, restart_generation } = view.config;
  return (
    view.pendingRestart.length > 0 &&
    restart_generation === generation &&
    view.restartedGeneration < generation
  );
}

/** The oldest request whose configuration is in effect; with files in place that is the current one. */
function dueRequest(view: View): PendingRequest | undefined {
  const effective =
    view.configuration.refusal === undefined && view.configuration.files === "same"
      ? view.config.generation
      : view.appliedGeneration;
  return view.requests.find((request) => request.generation <= effective);
}

function withRequest(view: View, make: (request: PendingRequest) => Decision): Decision {
  const request = dueRequest(view);
  return request ? make(request) : rest("nothing to do");
}

function declineFirst(view: View, why: string): Decision {
  const [request] = view.requests;
  if (!request) return rest(why);
  return act({ kind: "decline", request, why }, `declining ${request.id}: ${why}`);
}

function refusedConfiguration(view: View): Decision {
  const why = view.configuration.refusal ?? "";
  return rest(`generation ${view.config.generation} was refused: ${why}`, why);
}

function reasonOf(request: PendingRequest): string {
  const why = request.payload.kind === "restart" ? request.payload.reason : request.id;
  return `restarting: ${why}`;
}

function settledSentence(view: View): string {
  const { pendingRestart, overridden, config } = view;
  const parts = [`generation ${config.generation} is in effect`];
  if (pendingRestart.length > 0) parts.push(`${pendingRestart.join(", ")} wait for a restart`);
  if (overridden.length > 0) parts.push(`ALTER SYSTEM overrides ${overridden.join(", ")}`);
  return parts.join("; ");
}
