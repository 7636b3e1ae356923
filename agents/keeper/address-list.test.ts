import { expect, test } from "bun:test";
import { AddressList } from "./address-list.ts";

test("addresses and ranges of both families, and IPv4 in IPv6", () => {
  const list = new AddressList([
    "127.0.0.0/8",
    "10.0.0.1",
    "fd00::/64",
    "::1",
    "db1.example",
    "1.2.3.4/99",
  ]);
  for (const inside of [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "fd00::5",
    "::1",
  ]) {
    expect([inside, list.has(inside)]).toEqual([inside, true]);
  }
  for (const outside of ["10.0.0.2", "fd01::5", "::2", "1.2.3.4", "db1.example", ""]) {
    expect([outside, list.has(outside)]).toEqual([outside, false]);
  }
});
