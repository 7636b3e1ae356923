// A process that makes a copy as a keeper does, so that a test can kill it: argument 1 is a CloneOrder as JSON. Prints
// each phase as it begins, and "done".
import { randomUUID } from "node:crypto";
import type { Peer } from "../../agents/keeper/standby/mechanics.ts";
import { createStandbyMechanics } from "../../agents/keeper/standby/standby.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger, LogLevels } from "../../src/base/log.ts";
import { LocalExecutor } from "../../src/host/local.ts";
import type { KeeperFile } from "../../src/spec/instance-config.ts";

export interface CloneOrder {
  readonly file: KeeperFile;
  readonly server: { readonly binDir: string; readonly major: number };
  readonly peer: Peer;
}

if (import.meta.main) {
  const order: CloneOrder = JSON.parse(process.argv[2] ?? "");
  const write = (line: string) => process.stderr.write(`${line}\n`);
  const mechanics = createStandbyMechanics({
    executor: new LocalExecutor("host-1", systemClock),
    clock: systemClock,
    nonce: randomUUID,
    log: createLogger({ clock: systemClock, levels: new LogLevels("debug"), write }, "clone", {}),
    file: order.file,
    server: () => order.server,
  });
  let last = "";
  await mechanics.cloneFrom(order.peer, {
    signal: new AbortController().signal,
    onProgress: ({ phase }) => {
      if (phase !== last) console.log(phase);
      last = phase;
    },
  });
  console.log("done");
}
