import { expect, test } from "bun:test";
import {
  compareVersions,
  formatVersion,
  parsePrintedVersion,
  parseVersion,
  parseVersionNumber,
  synchronousFlaw,
  versionNumber,
} from "./version.ts";

test("versions are read from what users write and what postgres prints", () => {
  expect(parseVersion("17.11")).toEqual({ major: 17, minor: 11 });
  expect(parseVersion("18beta2")).toEqual({ major: 18, minor: 0, prerelease: "beta2" });
  expect(parsePrintedVersion("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n")).toEqual({
    major: 15,
    minor: 18,
  });
  expect(parsePrintedVersion("postgres (PostgreSQL) 18rc1")?.prerelease).toBe("rc1");
  for (const wrong of ["", "17.", "v17", "17.1.2", "17 .1", "seventeen"]) {
    expect(parseVersion(wrong)).toBeUndefined();
  }
  expect(parsePrintedVersion("pg_ctl (PostgreSQL) 15.18")).toBeUndefined();
});

test("versions sort by number, prereleases before their release", () => {
  const sorted = ["18.0", "17.9", "18beta1", "17.10", "18rc1", "18devel"]
    .map((text) => parseVersion(text))
    .filter((version) => version !== undefined)
    .sort(compareVersions)
    .map(formatVersion);
  expect(sorted).toEqual(["17.9", "17.10", "18devel", "18beta1", "18rc1", "18.0"]);
});

test("server_version_num goes both ways", () => {
  expect(parseVersionNumber(170011)).toEqual({ major: 17, minor: 11 });
  expect(versionNumber({ major: 9 + 6, minor: 18 })).toBe(150018);
});

test("releases whose commits may skip their wait for a standby are known", () => {
  const flaw = (text: string) => synchronousFlaw(parseVersion(text) ?? { major: 0, minor: 0 });
  expect(flaw("17.4")).toContain("17.5 cannot");
  expect(flaw("15.12")).toContain("15.13 cannot");
  for (const sound of ["17.5", "17.11", "16.9", "18.0", "18beta1"]) {
    expect(flaw(sound)).toBeUndefined();
  }
});
