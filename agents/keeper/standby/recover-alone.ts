// Crash recovery of a former primary in single-user mode: no client can come in, nothing is archived, nobody is
// followed. It ends with a clean shutdown, after which the end of the data is known to the byte.
import { AppError } from "../../../src/base/errors.ts";
import { recoverAloneTimeoutMs } from "../../../src/base/limits.ts";
import { failureText, succeeded } from "../../../src/host/command.ts";
import { singleUserArgv } from "../../../src/postgres/commands.ts";
import { removeForeignLock } from "../../fencer/foreign-lock.ts";
import { territoryOf } from "../../fencer/territory.ts";
import type { WorkOptions } from "./mechanics.ts";
import { inspectOffline } from "./offline.ts";
import { placesOf, type StandbyDeps } from "./places.ts";
import { endStrays, runLong } from "./programs.ts";

/** See `StandbyMechanics.recoverAlone`. */
export async function recoverAlone(deps: StandbyDeps, options: WorkOptions): Promise<void> {
  const places = placesOf(deps.file);
  await endStrays(deps, places);
  const before = await inspectOffline(deps, places.data);
  if (!before) throw new AppError("terminal", `there is no data in ${places.data}`);
  // A standby's or a copy's recovery would stop too early and make a primary of it (hazard H21).
  if (before.backupLabel || before.standbySignal || before.recoverySignal) {
    const text = `${places.data} is that of a standby or a copy: it is not recovered alone`;
    throw new AppError("terminal", text);
  }
  if (before.control.state === "shut down") return;
  options.onProgress?.({ phase: "recovering", text: "recovering from the crash, without clients" });
  removeForeignLock(territoryOf(deps.file));
  const configFile = `${deps.file.layout.config_dir}/postgresql.conf`;
  const result = await runLong(deps, {
    argv: singleUserArgv(deps.server().binDir, places.data, configFile),
    timeoutMs: recoverAloneTimeoutMs,
    talks: false,
    signal: options.signal,
  });
  const after = await inspectOffline(deps, places.data);
  if (succeeded(result) && after?.control.state === "shut down") return;
  const text = `recovery ended in state "${after?.control.state}": ${failureText(result)}`;
  throw new AppError("retryable", text);
}
