// The unit files of an instance, as a person reviews them: test/golden/units/*.service.
import { describe, expect, test } from "bun:test";
import { execLine, renderUnit } from "../../src/orchestrator/baremetal/unit.ts";
import { expectGolden } from "./golden.ts";

const input = {
  instanceId: "shop-n1-0f3k2m1q",
  launcher: ["/usr/bin/pgherd"],
  inputs: {
    keeper_file: "/var/lib/pgherd/keepers/shop-n1-0f3k2m1q/keeper.json",
    fencer_socket: "/run/pgherd/shop-n1-0f3k2m1q.fencer",
    base_dir: "/var/lib/postgresql/17/shop-n1-0f3k2m1q",
    log_dir: "/var/lib/postgresql/17/shop-n1-0f3k2m1q/log",
    cpus: null,
    memory_bytes: null,
  },
} as const;

describe("units", () => {
  test("of an instance without limits", () => {
    expectGolden("units/fencer.service", renderUnit("fencer", input));
    expectGolden("units/keeper.service", renderUnit("keeper", input));
  });

  test("limits are those of PostgreSQL's unit, not of the keeper's", () => {
    const inputs = { ...input.inputs, cpus: 0.5, memory_bytes: 512 * 1024 ** 2 };
    expectGolden("units/fencer-limited.service", renderUnit("fencer", { ...input, inputs }));
    expect(renderUnit("keeper", { ...input, inputs })).toBe(renderUnit("keeper", input));
  });

  test("nothing in an argument is taken for a specifier, a variable or a separator", () => {
    expect(execLine(["/opt/my apps/pgherd", "50%", "$HOME", 'a"b\\c', ""])).toBe(
      '"/opt/my apps/pgherd" 50%% "$$HOME" "a\\"b\\\\c" ""',
    );
    expect(() => execLine(["/bin/true", "a\nExecStart=/bin/false"])).toThrow("control character");
  });
});
