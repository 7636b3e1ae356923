import { expect, test } from "bun:test";
import { hbaLineProblem, identLineProblem, lineMajorMin } from "./hba-line.ts";

test.each([
  "",
  "   ",
  "# local all",
  "local all all trust",
  "local all all peer map=ops # comment",
  "host all all 10.0.0.0/8 scram-sha-256",
  "host\tall\tall\t0.0.0.0/0\tmd5",
  "host all all 10.0.0.0 255.0.0.0 reject",
  "host all all ::1/128 scram-sha-256",
  "host all all fe80:: ffff:: reject",
  "hostssl all all all cert clientcert=verify-full",
  "hostnossl all all samenet reject",
  "hostgssenc all all .example.com gss include_realm=0",
  "hostnogssenc all all db.example.com scram-sha-256",
  'host "my db" "user # one" all scram-sha-256',
  "host db1, db2 all all scram-sha-256",
  "host db1,db2 +staff,@file all scram-sha-256",
  'host all all all ldap ldapserver=x ldapprefix="cn="',
  "host all all all oauth issuer=x",
  "include more.conf",
  'include_dir "conf d"',
  "include_if_exists maybe.conf",
])("pg_hba.conf takes %j", (line) => {
  expect(hbaLineProblem(line)).toBeUndefined();
});

test.each([
  ["locale all all trust", "unknown connection type: locale"],
  ["HOST all all all md5", "unknown connection type"],
  ["local all all", "local line needs"],
  ["host all all all", "host line needs"],
  ["hostssl all all", "hostssl line needs"],
  ["host all all 10.0.0.1 scram-sha-256", "needs a mask"],
  ["host all all 10.0.0.1 255.255.255.255", "no method"],
  ["host all all 10.0.0.1 ::1 md5", "needs a mask"],
  ["host all all 10.0.0.0/33 md5", "malformed address"],
  ["host all all 10.0.0/8 md5", "malformed address"],
  ["host all all ::/129 md5", "malformed address"],
  ["host all all 10.0.0.0/ md5", "malformed address"],
  ["host all all example.com/8 md5", "malformed address"],
  ["host all all all scram", "unknown method: scram"],
  ["host all all all peer", "local lines only"],
  ["host all all all cert", "hostssl lines only"],
  ["local all all gss", "does not work on local"],
  ["host all all all md5 option", "not name=value"],
  ["include", "exactly one"],
  ["include a b", "exactly one"],
  ['host all "all all all md5', "not closed"],
  ["host all all all md5\nlocal all all trust", "line breaks"],
  ["host all all all md5\r", "line breaks"],
  ["host all all all md5\0", "NUL"],
  ["host all all all reject \\", "swallow"],
  ["# comment \\", "swallow"],
])("pg_hba.conf does not take %j", (line, reason) => {
  expect(hbaLineProblem(line)).toContain(reason);
});

test.each(["", "# c", "ops root postgres", 'ops "/^(.*)@x$" \\1x', "include ident.more"])(
  "pg_ident.conf takes %j",
  (line) => {
    expect(identLineProblem(line)).toBeUndefined();
  },
);

test.each([
  ["ops root", "needs map name"],
  ["ops root postgres more", "needs map name"],
  ["include", "exactly one"],
  ['ops "root postgres', "not closed"],
  ["a b c\nd e f", "line breaks"],
  ["pgherd nobody pgedge", "control plane's own"],
  ['  pg"herd" "/.*" \\1', "control plane's own"],
])("pg_ident.conf does not take %j", (line, reason) => {
  expect(identLineProblem(line)).toContain(reason);
});

test.each([
  ["  include_dir d", 16],
  ["# include d", 0],
  ["host all all all md5", 0],
  ["host all all all oauth issuer=x", 18],
  ["host all all ::1 ffff:: oauth issuer=x", 18],
  ["host oauth oauth all md5", 0],
  ["local oauth oauth peer", 0],
])("%j needs version %d", (line, major) => {
  expect(lineMajorMin(line)).toBe(major);
});
