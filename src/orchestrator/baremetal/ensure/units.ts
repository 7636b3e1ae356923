// Keepers and fencers as units of systemd. It restarts and limits them, also while no server runs, and
// starts them after a boot. Every call goes through the executor, so it may be another host's systemd.
import type { Clock } from "../../../base/clock.ts";
import { AppError, isAbort, messageOf } from "../../../base/errors.ts";
import { serviceManagerTimeoutMs, superviseUpkeepIntervalMs } from "../../../base/limits.ts";
import { type CommandResult, failureText, succeeded } from "../../../host/command.ts";
import type { DriverCapabilities, ObservedKeeper, StepContext } from "../../driver.ts";
import type { KeeperRunner, WantedKeeper } from "../keeper-runner.ts";
import { keeperDirectory, parseUnitName, ROLES, type Role, unitName } from "../names.ts";
import { limitProperties, renderUnit } from "../unit.ts";

const unitDirectory = "/etc/systemd/system";

export interface UnitsDeps {
  readonly clock: Clock;
  readonly launcher: readonly [string, ...string[]];
  /** The host has the controllers that enforce limits. */
  readonly limits: boolean;
}

type Reader = Omit<StepContext, "log">;

export class UnitsRunner implements KeeperRunner {
  readonly id = "systemd";
  readonly capabilities: DriverCapabilities;
  readonly #deps: UnitsDeps;

  constructor(deps: UnitsDeps) {
    this.#deps = deps;
    this.capabilities = { limits: deps.limits, survivesServerDown: true, services: false };
  }

  async ensure(wanted: WantedKeeper, changed: boolean, context: StepContext): Promise<void> {
    const [fencer, keeper] = [
      unitName("fencer", wanted.instanceId),
      unitName("keeper", wanted.instanceId),
    ];
    const before = await unitStates(context, [fencer, keeper]);
    const isNew = {
      fencer: await this.#putUnit("fencer", wanted, context),
      keeper: await this.#putUnit("keeper", wanted, context),
    };
    if (isNew.fencer || isNew.keeper) {
      await call(context, ["daemon-reload"]);
      await call(context, ["enable", fencer, keeper]);
      context.log("wrote units", { units: [fencer, keeper] });
    }
    if (isNew.fencer && before.has(fencer)) {
      // Overrides limits that were set in this way before, and holds for what runs already.
      await call(context, ["set-property", "--runtime", fencer, ...limitProperties(wanted.inputs)]);
    }
    await call(context, ["start", fencer, keeper]);
    if (isNew.fencer && before.get(fencer) === "running") {
      // The new command takes over: the fencer ends, is started again and adopts PostgreSQL.
      await call(context, ["kill", "--kill-who=main", "--signal=SIGTERM", fencer]);
    }
    if ((changed || isNew.keeper) && before.get(keeper) === "running") {
      await call(context, ["restart", keeper]);
    }
  }

  async stopKeeper(wanted: WantedKeeper, context: StepContext): Promise<void> {
    const unit = unitName("keeper", wanted.instanceId);
    if (await isLoaded(context, unit)) await call(context, ["disable", "--now", unit]);
  }

  async removeAll(wanted: WantedKeeper, context: StepContext): Promise<void> {
    const units = ROLES.map((role) => unitName(role, wanted.instanceId));
    // First of all: from now on nobody puts the units right.
    for (const role of ROLES) {
      const kept = this.#keptCopy(role, wanted.instanceId, context);
      await context.executor.remove(kept, context.signal);
    }
    for (const unit of units.toReversed()) {
      if (await isLoaded(context, unit)) await call(context, ["disable", "--now", unit]);
      await context.executor.remove(`${unitDirectory}/${unit}`, context.signal);
    }
    await call(context, ["daemon-reload"]);
    // A unit that failed is remembered after its file is gone; one that never failed is unknown here.
    await systemctl(context, ["reset-failed", ...units]);
    for (const [unit, state] of await unitStates(context, units)) {
      if (state === "running") throw new AppError("retryable", `${unit} runs after its removal`);
    }
  }

  async observe(context: Reader): Promise<readonly ObservedKeeper[]> {
    const units = (await context.executor.list(unitDirectory, context.signal)).filter((name) =>
      parseUnitName(name),
    );
    const states = await unitStates(context, units);
    const ids = new Set(units.map((unit) => parseUnitName(unit)?.instanceId ?? ""));
    return [...ids].sort().map((instanceId) => ({
      instanceId,
      keeper: states.get(unitName("keeper", instanceId)) ?? "absent",
      fencer: states.get(unitName("fencer", instanceId)) ?? "absent",
    }));
  }

  /** systemd restarts what dies. What is left to do: units that were edited or removed by hand are put right. */
  async supervise(context: StepContext, wanted: () => readonly string[]): Promise<void> {
    try {
      while (!context.signal.aborted) {
        for (const instanceId of wanted()) await this.#mend(instanceId, context);
        await this.#deps.clock.sleep(superviseUpkeepIntervalMs, context.signal);
      }
    } catch (error) {
      if (!context.signal.aborted && !isAbort(error)) throw error;
    }
  }

  async #mend(instanceId: string, context: StepContext): Promise<void> {
    try {
      const mended: Role[] = [];
      for (const role of ROLES) {
        const kept = await readText(context, this.#keptCopy(role, instanceId, context));
        const target = unitFile(role, instanceId);
        if (kept === undefined || kept === (await readText(context, target))) continue;
        await context.executor.put(target, kept, unitMode(context));
        mended.push(role);
      }
      if (mended.length === 0) return;
      const units = mended.map((role) => unitName(role, instanceId));
      await call(context, ["daemon-reload"]);
      await call(context, ["enable", ...units]);
      if (await this.#takeBack(mended, instanceId, context)) return;
      context.log("units were changed by someone else and are put right", { units });
    } catch (error) {
      if (context.signal.aborted) throw error;
      context.log("cannot look after units", { instanceId, error: messageOf(error) });
    }
  }

  /**
   * A removal may have come between the look at a unit and its writing. It takes the copy away first and the unit
   * later: while the copy is there, whatever was written will be removed; without it, that is for us to do.
   */
  async #takeBack(
    roles: readonly Role[],
    instanceId: string,
    context: StepContext,
  ): Promise<boolean> {
    let taken = false;
    for (const role of roles) {
      const kept = this.#keptCopy(role, instanceId, context);
      if ((await readText(context, kept)) !== undefined) continue;
      // Of a unit that is gone already, this removes what was left by enabling it.
      await systemctl(context, ["disable", unitName(role, instanceId)]);
      await context.executor.remove(unitFile(role, instanceId), context.signal);
      taken = true;
    }
    if (taken) await call(context, ["daemon-reload"]);
    return taken;
  }

  /** Writes a unit that differs; true when it did. A copy beside the keeper file tells later what it should be. */
  async #putUnit(role: Role, wanted: WantedKeeper, context: StepContext): Promise<boolean> {
    const { instanceId, inputs } = wanted;
    const target = unitFile(role, instanceId);
    const text = renderUnit(role, { instanceId, inputs, launcher: this.#deps.launcher });
    const kept = this.#keptCopy(role, instanceId, context);
    if ((await readText(context, kept)) !== text) {
      await context.executor.put(kept, text, { mode: 0o600, signal: context.signal });
    }
    if ((await readText(context, target)) === text) return false;
    await context.executor.put(target, text, unitMode(context));
    return true;
  }

  #keptCopy(role: Role, instanceId: string, context: Reader): string {
    return `${keeperDirectory(context.host.dataDir, instanceId)}/${role}.service`;
  }
}

function unitFile(role: Role, instanceId: string): string {
  return `${unitDirectory}/${unitName(role, instanceId)}`;
}

function unitMode(context: Reader) {
  return { mode: 0o644, signal: context.signal };
}

async function readText(context: Reader, path: string): Promise<string | undefined> {
  const content = await context.executor.get(path, { signal: context.signal });
  return content && new TextDecoder().decode(content);
}

function systemctl(context: Reader, args: readonly string[]): Promise<CommandResult> {
  return context.executor.run(
    {
      argv: ["systemctl", "--no-ask-password", "--quiet", ...args],
      timeoutMs: serviceManagerTimeoutMs,
    },
    { signal: context.signal },
  );
}

async function call(context: Reader, args: readonly string[]): Promise<string> {
  const result = await systemctl(context, args);
  if (succeeded(result)) return result.stdout;
  throw new AppError("retryable", failureText(result));
}

async function isLoaded(context: Reader, unit: string): Promise<boolean> {
  const shown = await call(context, ["show", "--property=LoadState", "--", unit]);
  return shown.trim() !== "LoadState=not-found";
}

/** States of units by name; those that systemd does not know are left out. */
async function unitStates(
  context: Reader,
  units: readonly string[],
): Promise<ReadonlyMap<string, ObservedKeeper["keeper"]>> {
  const states = new Map<string, ObservedKeeper["keeper"]>();
  if (units.length === 0) return states;
  const properties = "--property=Id,LoadState,ActiveState";
  for (const block of (await call(context, ["show", properties, "--", ...units])).split("\n\n")) {
    const shown = new Map(block.split("\n").map((line) => splitOnce(line)));
    const id = shown.get("Id");
    if (id === undefined || shown.get("LoadState") === "not-found") continue;
    states.set(id, stateOf(shown.get("ActiveState")));
  }
  return states;
}

/** "activating" includes the pause before a restart. */
function stateOf(active: string | undefined): ObservedKeeper["keeper"] {
  if (active === "inactive") return "stopped";
  return active === "failed" ? "failed" : "running";
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
