import { expect, test } from "bun:test";
import { saslPrepare } from "./saslprep.ts";
import { parseScramVerifier, scramVerifier, verifies } from "./scram.ts";

// RFC 7677 section 3: user "user", password "pencil"; the verifier is derived from the RFC's salt and count.
const SALT = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");

test("the verifier of the example of RFC 7677", () => {
  expect(scramVerifier("pencil", SALT, 4096)).toBe(
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
});

test("a verifier verifies its own password only", () => {
  const verifier = scramVerifier("s3cret", SALT, 4096);
  expect(verifies(verifier, "s3cret")).toBe(true);
  expect(verifies(verifier, "s3cret ")).toBe(false);
  expect(verifies("md5abc", "s3cret")).toBe(false);
  expect(verifies("SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "s3cret")).toBe(false);
  expect(parseScramVerifier(verifier)?.iterations).toBe(4096);
});

test("preparation follows RFC 4013, and leaves alone what it may not prepare", () => {
  expect(saslPrepare("a\u00adb")).toBe("ab");
  expect(saslPrepare("\u2168")).toBe("IX");
  expect(saslPrepare("\u00aa")).toBe("a");
  expect(saslPrepare("a\u00a0b")).toBe("a b");
  expect(saslPrepare("\u0627\u0031")).toBe("\u0627\u0031");
  expect(saslPrepare("\u2168\u{1f600}")).toBe("\u2168\u{1f600}");
  expect(saslPrepare("\u00ad")).toBe("\u00ad");
  expect(saslPrepare("tab\t")).toBe("tab\t");
});
