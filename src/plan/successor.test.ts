// Who may become primary when somebody asks: what counts against a standby, and what is only old.
import { expect, test } from "bun:test";
import { lease, status } from "../../test/support/ha-situations.ts";
import type { InstanceReport } from "../spec/instance-config.ts";
import { judge } from "./successor.ts";

const report: InstanceReport = {
  instance_id: "b",
  incarnation: "b-1",
  observed_at_ms: 0,
  postgres_state: "running",
  role: "replica",
  replication_state: "streaming",
  pending_restart: false,
  pending_restart_settings: [],
  applied_generation: 1,
  decision: "",
};

function problemOf(seen: { epoch: number; seq: number }, { anyLag = false } = {}) {
  const member = status("b", { receive_lsn: "0/1000", seen });
  const row = lease({ epoch: 2, seq: 7, optime: "0/9000" });
  const standby = { instanceId: "b", report, isFresh: true, member, tags: {} };
  const [judged] = judge([standby], { lease: row, maximumLagBytes: 100, anyLag });
  expect(judged?.lagBytes).toBe(0x8000n);
  return judged?.problem;
}

test("a standby that is behind cannot take over, unless the loss is agreed to", () => {
  expect(problemOf({ epoch: 2, seq: 7 })).toBe("it is 32768 bytes behind");
  expect(problemOf({ epoch: 2, seq: 7 }, { anyLag: true })).toBeUndefined();
});

test("what a standby said before the primary said how far it is does not count as its lag", () => {
  expect(problemOf({ epoch: 2, seq: 6 })).toBeUndefined();
  expect(problemOf({ epoch: 1, seq: 99 })).toBeUndefined();
});
