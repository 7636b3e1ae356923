// Rows for a member without data, with data that must not be started, or with data in the making.
import type { Situation } from "../situation.ts";
import {
  act,
  always,
  isMine,
  mine,
  type Outcome,
  releaseWith,
  rest,
  type Transition,
  wait,
} from "../transition.ts";
import { createLease, mayCreate, rejoinRow, stallMs, waitRow, whyWaiting } from "./conditions.ts";

export const EMPTY: readonly Transition[] = [
  {
    name: "begin the node",
    from: "empty",
    to: ["empty"],
    when: mayCreate,
    decide: createLease,
    action: "create_lease",
    goal: "any",
  },
  {
    name: "make the data",
    from: "empty",
    to: ["bootstrapping"],
    when: mayBootstrap,
    decide: bootstrap,
    action: "bootstrap",
    goal: "wait",
    comment: "H30: only in the first epoch of a node without data",
  },
  {
    name: "holder lost its data",
    from: "empty",
    to: ["empty"],
    when: isMine,
    decide: (s) =>
      releaseWith(s, "cannot_promote", null, "giving the lease back: the data is gone"),
    action: "release",
    goal: "wait",
  },
  { ...rejoinRow("empty", "clone"), name: "copy the primary" },
  { ...waitRow("empty"), name: "wait for a primary to copy" },
];

export const DIVERGED: readonly Transition[] = [
  {
    name: "make the data again",
    from: "diverged",
    to: ["bootstrapping"],
    when: mayBootstrap,
    decide: bootstrap,
    action: "bootstrap",
    goal: "wait",
  },
  {
    name: "holder with half of its data",
    from: "diverged",
    to: ["diverged"],
    when: isMine,
    decide: (s) =>
      releaseWith(s, "cannot_promote", null, "giving the lease back: the data is not complete"),
    action: "release",
    goal: "wait",
  },
  { ...rejoinRow("diverged", "rewind"), name: "turn back" },
  { ...rejoinRow("diverged", "clone"), name: "copy anew" },
  {
    name: "receive nothing more",
    from: "diverged",
    to: ["diverged"],
    when: (s) => s.standby !== null,
    decide: (s) => rest({ kind: "standby", upstream: null }, whyWaiting(s)),
    action: "none",
    goal: "standby",
    timeout: true,
    comment: "how far its data reaches is known only while it runs",
  },
  { ...waitRow("diverged"), name: "wait for the primary to be ready" },
];

export const WORKING: readonly Transition[] = [
  ...(["bootstrapping", "cloning", "rewinding"] as const).flatMap((from): Transition[] => [
    {
      name: `${from} stalls`,
      from,
      to: ["diverged", "empty"],
      when: (s) => s.local.doing !== null && s.nowMs - s.local.doing.progressAtMs > stallMs,
      decide: () =>
        act(
          { kind: "wait", why: "ending what makes no progress" },
          { kind: "cancel" },
          "ending what makes no progress",
        ),
      action: "cancel",
      goal: "wait",
      timeout: true,
    },
    {
      name: `${from} to its end`,
      from,
      to: ["stopped", "standby"],
      when: always,
      decide: (s) => wait(`${from}${s.local.doing?.source ? ` from ${s.local.doing.source}` : ""}`),
      action: "none",
      goal: "wait",
    },
  ]),
];

function mayBootstrap(s: Situation): boolean {
  const row = mine(s)?.row;
  const { data } = s.local;
  const blank =
    (data.kind === "absent" && !data.hadData) ||
    (data.kind === "unfinished" && data.of === "bootstrap");
  return row?.epoch === 1 && row.system_identifier === null && blank && s.hold === null;
}

function bootstrap(): Outcome {
  return act(
    { kind: "wait", why: "the data is being made" },
    { kind: "bootstrap" },
    "making the data directory: this is the first primary of the node",
  );
}
