// Renders the two units of an instance (systemd.unit(5), systemd.service(5), systemd.resource-control(5)).
// The fencer's unit holds PostgreSQL; the keeper's can be stopped and upgraded without PostgreSQL noticing.
import { AppError } from "../../base/errors.ts";
import { fencerWatchdogMs, unitStopTimeoutS } from "../../base/limits.ts";
import { agentEnvironment } from "../../host/detached.ts";
import { renderCommand } from "../../host/quote.ts";
import { type Role, unitName } from "./names.ts";
import type { KeeperInputs } from "./resources.ts";

export interface UnitInput {
  readonly instanceId: string;
  readonly launcher: readonly [string, ...string[]];
  readonly inputs: KeeperInputs;
}

const environment = Object.entries(agentEnvironment).map(
  ([name, value]) => `Environment=${name}=${value}`,
);

/** The text of one unit file. */
export function renderUnit(role: Role, input: UnitInput): string {
  return role === "fencer" ? renderFencer(input) : renderKeeper(input);
}

/** Properties that limit an instance, as `systemctl set-property` takes them; also lifts limits that are gone. */
export function limitProperties(inputs: KeeperInputs): readonly string[] {
  const { cpus, memory_bytes } = inputs;
  return [
    `CPUQuota=${cpus === null ? "" : percent(cpus)}`,
    `MemoryMax=${memory_bytes === null ? "infinity" : memory_bytes}`,
  ];
}

/**
 * KillMode=process: the end of the fencer is not the end of PostgreSQL; the next fencer adopts it. Only
 * ExecStop ends it, cleanly, and so does a shutdown of the machine. A fencer that leaves PostgreSQL running
 * ends with a status that is no success, because after a success ExecStop would run. ExecStop runs in a
 * restart too; the job tells it apart from a stop, and then PostgreSQL is left to the next fencer.
 * A frozen fencer would not keep its deadline, so a silent one is replaced within the guard of a lease; the next one
 * finds the deadline in its file. A replacement without need does no harm.
 */
function renderFencer(input: UnitInput): string {
  const { instanceId, launcher, inputs } = input;
  const command = [...launcher, "fencer", "--file", inputs.keeper_file];
  return unit([
    "[Unit]",
    `Description=PostgreSQL of pgherd instance ${instanceId}`,
    `RequiresMountsFor=${path(inputs.base_dir)}`,
    "After=network.target",
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=notify",
    ...environment,
    "NotifyAccess=main",
    `WatchdogSec=${fencerWatchdogMs}ms`,
    "WatchdogSignal=SIGKILL",
    `ExecStart=${execLine(command)}`,
    `ExecStop=${execLine(stopUnlessRestarting(instanceId, command))}`,
    "KillMode=process",
    `TimeoutStopSec=${unitStopTimeoutS}`,
    "Restart=always",
    "RestartSec=100ms",
    "OOMPolicy=continue",
    "OOMScoreAdjust=-900",
    "LimitNOFILE=65536",
    "TasksMax=infinity",
    ...limits(inputs),
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ]);
}

function stopUnlessRestarting(instanceId: string, command: readonly string[]): readonly string[] {
  const jobs = ["systemctl", "list-jobs", "--no-legend", "--plain", unitName("fencer", instanceId)];
  const stop = [...command, "--stop", "--timeout-s", String(unitStopTimeoutS - 30)];
  const script = `${renderCommand(jobs)} | grep -q ' restart ' || exec ${renderCommand(stop)}`;
  return ["/bin/sh", "-c", script];
}

/**
 * When the machine goes down, or PostgreSQL's own unit is stopped with it, the keeper gives the lease of its instance
 * away before its end (SIGUSR1); in a restart or an upgrade it just ends, and PostgreSQL goes on.
 */
function leaveWithPostgres(fencer: string): readonly string[] {
  const jobs = renderCommand(["systemctl", "list-jobs", "--no-legend", "--plain", fencer]);
  const script = [
    `test "$(systemctl is-system-running)" = stopping || ${jobs} | grep -q ' stop ' || exit 0`,
    'kill -USR1 "$MAINPID" || exit 0',
    'while kill -0 "$MAINPID" 2>/dev/null; do sleep 0.1; done',
  ].join("; ");
  return ["/bin/sh", "-c", script];
}

function renderKeeper(input: UnitInput): string {
  const { instanceId, launcher, inputs } = input;
  const fencer = unitName("fencer", instanceId);
  return unit([
    "[Unit]",
    `Description=Keeper of pgherd instance ${instanceId}`,
    `RequiresMountsFor=${path(inputs.base_dir)}`,
    `Wants=${fencer} network-online.target`,
    `After=${fencer} network-online.target time-sync.target`,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=simple",
    ...environment,
    `ExecStart=${execLine([...launcher, "keeper", "--file", inputs.keeper_file])}`,
    `ExecStop=${execLine(leaveWithPostgres(fencer))}`,
    "KillMode=mixed",
    "TimeoutStopSec=30",
    "Restart=always",
    "RestartSec=500ms",
    "OOMScoreAdjust=-900",
    "LimitNOFILE=65536",
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ]);
}

function unit(lines: readonly string[]): string {
  return `# Written by pgherd; changes are overwritten.\n${lines.join("\n")}\n`;
}

function limits({ cpus, memory_bytes }: KeeperInputs): readonly string[] {
  return [
    ...(cpus === null ? [] : [`CPUQuota=${percent(cpus)}`]),
    ...(memory_bytes === null ? [] : [`MemoryMax=${memory_bytes}`]),
  ];
}

/** CPUQuota is a percentage of one CPU; less than 1 % is not accepted. */
function percent(cpus: number): string {
  return `${Math.max(1, Math.round(cpus * 100))}%`;
}

/** A command line: every argument quoted, specifiers and variables taken literally (systemd.service(5), "Command lines"). */
export function execLine(argv: readonly string[]): string {
  return argv.map((argument) => quoted(argument).replaceAll("$", "$$$$")).join(" ");
}

/** A path where a setting takes a list of them. */
function path(text: string): string {
  return quoted(text);
}

function quoted(text: string): string {
  if ([...text].some((character) => character < " ")) {
    throw new AppError("terminal", `"${text}" has a control character: no unit can hold it`);
  }
  const literal = text.replaceAll("%", "%%");
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(literal)) return literal;
  return `"${literal.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
