import { expect, test } from "bun:test";
import { parseControlData } from "./controldata.ts";

/** pg_control of servers that were shut down, with settings of their own; the facts as pg_controldata shows them. */
const FIXTURES = [
  {
    major: 15,
    bytes: `
      ftwDvjtrB2sUBQAAJXcNDAEAAAAAAAAAQWsHawAAAACgFXQBAAAAAKAVdAEAAAAAAQAAAAEAAAABAAAAAAAAANQC
      AAAAAAAABDUAAAEAAAAAAAAAzAIAAAEAAAABAAAAAQAAAAAAAABBawdrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA
      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAABAAAAJQAAAAsAAAANAAAABQAAAEcA
      AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAAHFOYKPJcx8r
      YQisLcq2O55o3MO04qOVfMFTWze8lrEDU47mawAAAAA=
    `,
    systemIdentifier: "7712250791230430334",
    controlVersion: 1300,
    catalogVersion: 202209061,
    checkpointLsn: 0x17415a0n,
  },
  {
    major: 16,
    bytes: `
      BN5mNkJrB2sUBQAA//UODAEAAAAAAAAARmsHawAAAABwEHIBAAAAAHAQcgEAAAAAAQAAAAEAAAABAAAAAAAAANoC
      AAAAAAAAtDQAAAEAAAAAAAAA0gIAAAEAAAABAAAAAQAAAAAAAABGawdrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA
      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAABAAAAJQAAAAsAAAANAAAABQAAAEcA
      AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAAB2NFNaVW8sF
      YQOkLVBKJTxfB1Z6s4ZFE2UbSCJSA36cdJyQEwAAAAA=
    `,
    systemIdentifier: "7712250819019988484",
    controlVersion: 1300,
    catalogVersion: 202307071,
    checkpointLsn: 0x1721070n,
  },
  {
    major: 17,
    bytes: `
      8c6U60ZrB2ukBgAAiXkQDAEAAAAAAAAATGsHawAAAABgmHQBAAAAAGCYdAEAAAAAAQAAAAEAAAABAAAAAQAAAOIC
      AAAAAAAATTUAAAEAAAAAAAAA2gIAAAEAAAABAAAAAQAAAAAAAABMawdrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA
      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAABAAAAJQAAAAsAAAANAAAABQAAAEcA
      AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAACT9MpZoUZff
      +wjw021dGmA65Sg2EjonAwtmKGN8Qh1/Cj7nKwAAAAA=
    `,
    systemIdentifier: "7712250839239544561",
    controlVersion: 1700,
    catalogVersion: 202406281,
    checkpointLsn: 0x1749860n,
  },
  {
    major: 18,
    bytes: `
      vJPbxk1rB2sIBwAAMwASDAEAAAAAAAAAVGsHawAAAADQXXYBAAAAANBddgEAAAAAAQAAAAEAAAABAAAAAQAAAPAC
      AAAAAAAAezUAAAEAAAAAAAAA6AIAAAEAAAABAAAAAQAAAAAAAABUawdrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA
      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAABAAAAJQAAAAsAAAANAAAABQAAAEcA
      AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAAAGqMH6IDWG/
      dLP7WyZVDMctT6meSUc26YOlTU6zJ6pifgAAAHhTzWk=
    `,
    systemIdentifier: "7712250868688196540",
    controlVersion: 1800,
    catalogVersion: 202506291,
    checkpointLsn: 0x1765dd0n,
  },
];

const bytesOf = (text: string) =>
  Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "base64"));

for (const { major, bytes, ...facts } of FIXTURES) {
  test(`the control file of PostgreSQL ${major}`, () => {
    const data = parseControlData(bytesOf(bytes));
    expect(data).toMatchObject({
      ...facts,
      redoLsn: facts.checkpointLsn,
      state: "shut down",
      checkpointTimeline: 1,
      minRecoveryLsn: 0n,
      minRecoveryTimeline: 0,
      backupEndRequired: false,
      settings: {
        max_connections: 37,
        max_worker_processes: 11,
        max_wal_senders: 13,
        max_prepared_transactions: 5,
        max_locks_per_transaction: 71,
      },
      walLogHints: true,
      checksums: true,
      walBlockBytes: 8192,
      walSegmentBytes: 16 * 1024 * 1024,
    });
  });

  test(`a control file of PostgreSQL ${major} that was read half written is none`, () => {
    const whole = bytesOf(bytes);
    for (const offset of [16, 32, 100, 180, 252, 270]) {
      const torn = Uint8Array.from(whole);
      torn[offset] = (torn[offset] ?? 0) ^ 1;
      expect([offset, parseControlData(torn)]).toEqual([offset, undefined]);
    }
    expect(parseControlData(whole.subarray(0, 200))).toBeUndefined();
  });
}
