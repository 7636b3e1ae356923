// Which service manager a host has, and whether it can enforce limits.
import { AppError } from "../../base/errors.ts";
import { serviceManagerTimeoutMs } from "../../base/limits.ts";
import { failureText, succeeded } from "../../host/command.ts";
import type { Executor } from "../../host/executor.ts";

/** What was found on the host. */
export interface ServiceManager {
  readonly kind: "systemd" | "none";
  /** CPU and memory limits of a unit are enforced by the kernel. */
  readonly limits: boolean;
}

/**
 * systemd counts only where it booted the host (sd_booted(3)) and answers. Throws a retryable AppError when it takes
 * too long: a busy host must not be taken for one that has none.
 */
export async function serviceManagerOf(
  executor: Executor,
  signal: AbortSignal,
): Promise<ServiceManager> {
  const booted = await executor.stat("/run/systemd/system", signal);
  if (booted?.kind !== "directory") return { kind: "none", limits: false };
  const answer = await executor.run(
    { argv: ["systemctl", "show", "--property=Version"], timeoutMs: serviceManagerTimeoutMs },
    { signal },
  );
  if (answer.timedOut) throw new AppError("retryable", failureText(answer));
  if (!succeeded(answer)) return { kind: "none", limits: false };
  return { kind: "systemd", limits: await hasControllers(executor, signal) };
}

/** Unified hierarchy (cgroups(7)): listed in one file. Legacy: one directory each. */
async function hasControllers(executor: Executor, signal: AbortSignal): Promise<boolean> {
  const unified = await executor.get("/sys/fs/cgroup/cgroup.controllers", { signal });
  if (unified) {
    const names = new TextDecoder().decode(unified).trim().split(" ");
    return names.includes("cpu") && names.includes("memory");
  }
  const legacy = await executor.list("/sys/fs/cgroup", signal);
  return legacy.includes("cpu") && legacy.includes("memory");
}
