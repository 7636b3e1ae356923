// pg_control of a data directory, whether its server runs or not.
import { AppError } from "../../../src/base/errors.ts";
import { type ControlData, parseControlData } from "../../../src/postgres/controldata.ts";
import type { StandbyDeps } from "./places.ts";

/** Tries of reading pg_control while PostgreSQL may be writing it. */
const controlAttemptsMax = 20;

/** pg_control, whole. Throws a terminal AppError when it stays unreadable. */
export async function readControl(deps: StandbyDeps, dataDir: string): Promise<ControlData> {
  for (let attempt = 1; ; attempt++) {
    const bytes = await deps.executor.get(`${dataDir}/global/pg_control`);
    const control = bytes && parseControlData(bytes);
    if (control) return control;
    if (attempt >= controlAttemptsMax) {
      throw new AppError("terminal", `${dataDir}/global/pg_control cannot be read`);
    }
    await deps.clock.sleep(5);
  }
}
