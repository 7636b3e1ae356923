// Decides which steps may restart PostgreSQL, and what that costs.
import { restartWriteGapMs, switchoverWriteGapMs } from "../base/limits.ts";
import { gucContext } from "../postgres/guc.ts";
import type { Change } from "./diff.ts";
import { instanceInputs } from "./inputs.ts";
import type { ObservedDatabase } from "./observed.ts";
import type { InputChange, Step } from "./resource.ts";

/** Fields besides the settings that the server only reads when it starts. */
const AT_START: ReadonlySet<string> = new Set([
  "/bin_dir",
  "/listen_addresses",
  "/port",
  "/postgres_major",
]);
const PARAMETER = /^\/parameters\/(.+)$/;

/**
 * Whether the step may restart PostgreSQL. A step that was cut short before, or that has to force everything, may
 * find settings waiting from then, which its own changes do not show; the keeper restarts only if some wait.
 */
export function mayRestart(change: Change, observed: ObservedDatabase): boolean {
  const { resource, reason, changes, action } = change;
  if (resource.kind !== "database.instance" || action === "delete") return false;
  if (reason === "needs_recreate" || reason === "has_error") return true;
  const waiting = observed.pendingRestart.has(resource.id);
  if (reason === "force_update" && waiting) return true;
  return restartReasons(changes, instanceInputs(resource).postgres_major).length > 0;
}

/** Those of the changes that take effect with a restart only, as names of settings and fields. */
export function restartReasons(changes: readonly InputChange[], major: number): readonly string[] {
  return changes.flatMap(({ path, before }) => {
    if (AT_START.has(path)) return [path.slice(1)];
    // What was never written down is no other version.
    if (path === "/postgres_version") return before === undefined ? [] : [path.slice(1)];
    const name = PARAMETER.exec(path)?.[1]?.replaceAll("~1", "/").replaceAll("~0", "~");
    return name !== undefined && gucContext(name, major) === "postmaster" ? [name] : [];
  });
}

/**
 * Expected time without writes by node, in milliseconds: changes of primary, and restarts of primaries that take writes
 * already. Who was primary at first is not any more after a change.
 */
export function writeGaps(
  steps: readonly Step[],
  primaries: ReadonlyMap<string, string>,
): Readonly<Record<string, number>> {
  const gaps: Record<string, number> = {};
  const now = new Map<string, string | null>(primaries);
  for (const { resource, action, restarts } of steps) {
    const { nodeName, instanceId } = resource;
    if (nodeName === undefined) continue;
    if (action === "switchover") {
      gaps[nodeName] = (gaps[nodeName] ?? 0) + switchoverWriteGapMs;
      now.set(nodeName, null);
    } else if (restarts && action !== "create" && instanceId !== undefined) {
      const primary = now.get(nodeName);
      if (primary !== null && (primary ?? instanceId) === instanceId) {
        gaps[nodeName] = (gaps[nodeName] ?? 0) + restartWriteGapMs;
      }
    }
  }
  return gaps;
}
