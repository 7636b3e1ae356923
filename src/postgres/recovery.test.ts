import { expect, test } from "bun:test";
import {
  cleanAutoConf,
  joinConninfo,
  renderConninfo,
  replicationSettings,
  slotLogBound,
} from "./recovery.ts";
import { isMemberSlot, isSlotName, memberApplicationName, memberSlotName } from "./replication.ts";

const upstream = { addresses: ["10.0.0.1", "db1.example"], port: 5432 };

test("a connection string names its peer's authority and never a password", () => {
  const text = renderConninfo({
    upstream,
    certificateDir: "/c",
    applicationName: "pgherd_x",
    role: "replication",
    database: "postgres",
  });
  expect(text).toStartWith(
    "host='10.0.0.1,db1.example' port='5432' user='patroni_replicator' dbname='postgres'",
  );
  expect(text).toContain("sslmode='verify-full' sslrootcert='/c/ca.crt'");
  expect(text).toContain("sslkey='/c/replication.key'");
  expect(text).not.toContain("sslnegotiation");
  expect(joinConninfo({ a: "it's \\ here" })).toBe("a='it\\'s \\\\ here'");
});

test("the settings of a standby, and of one that lets go", () => {
  const following = replicationSettings(
    {
      major: 17,
      follow: { conninfo: "host='a'", slot: "s" },
      copySlots: true,
      synchronizedStandbySlots: ["b"],
    },
    {},
  );
  expect(following).toMatchObject({
    primary_conninfo: "host='a'",
    primary_slot_name: "s",
    recovery_target_timeline: "latest",
    recovery_target_time: "",
    sync_replication_slots: "on",
    synchronized_standby_slots: "b",
  });
  expect(replicationSettings({ major: 17 }, {})).toMatchObject({ sync_replication_slots: "off" });
  const alone = replicationSettings({ major: 15 }, {});
  expect(alone).toMatchObject({ primary_conninfo: "", primary_slot_name: "" });
  expect(alone).not.toHaveProperty("sync_replication_slots");
  expect(alone).not.toHaveProperty("synchronous_standby_names");
});

test("H26: a standby has never less than its primary had", () => {
  const atLeast = {
    max_connections: 200,
    max_worker_processes: 8,
    max_wal_senders: 16,
    max_prepared_transactions: 5,
    max_locks_per_transaction: 64,
  };
  const settings = replicationSettings(
    { major: 15, atLeast },
    { max_connections: "100", max_wal_senders: "20" },
  );
  expect(settings).toMatchObject({ max_connections: "200", max_prepared_transactions: "5" });
  expect(settings).not.toHaveProperty("max_wal_senders");
  expect(settings).not.toHaveProperty("max_locks_per_transaction");
});

test("H25: settings of recovery do not stay in postgresql.auto.conf", () => {
  const text =
    "# Do not edit\nwork_mem = '8MB'\nPrimary_Conninfo = 'host=old'\nrestore_command = 'cp'\nrecovery_target_time='x'\n";
  expect(cleanAutoConf(text)).toEqual({
    text: "# Do not edit\nwork_mem = '8MB'\n",
    removed: ["primary_conninfo", "restore_command", "recovery_target_time"],
  });
  expect(cleanAutoConf("work_mem = '1MB'\n").removed).toEqual([]);
});

test("names of members fit, differ and are recognised", () => {
  const long = `${"d".repeat(36)}-n999-0f3k2m1q`;
  for (const id of ["shop-n1-0f3k2m1q", long, `${long}x`]) {
    expect(isSlotName(memberSlotName(id))).toBe(true);
    expect(isMemberSlot(memberSlotName(id))).toBe(true);
    expect(memberApplicationName(id, "123").length).toBeLessThanOrEqual(63);
  }
  expect(memberSlotName("shop-n1-0f3k2m1q")).toBe("pgherd_member_shop_n1_0f3k2m1q");
  expect(memberSlotName(long)).not.toBe(memberSlotName(`${long}x`));
  expect(memberApplicationName("a", "1")).not.toBe(memberApplicationName("a", "2"));
  expect(isMemberSlot("barman")).toBe(false);
});

test("slots of absent members keep a bounded part of the disk, and what the user says", () => {
  const gib = 1024 ** 3;
  expect([2, 50, 99, 4_000].map((size) => slotLogBound(size * gib) / gib)).toEqual([1, 10, 19, 64]);
  const role = { major: 15, slotLogBytes: slotLogBound(50 * gib) };
  expect(replicationSettings(role, {}).max_slot_wal_keep_size).toBe("10240MB");
  const planned = { max_slot_wal_keep_size: "-1", wal_keep_size: "2GB" };
  expect(replicationSettings(role, planned)).toMatchObject(planned);
});
