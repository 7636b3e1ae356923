// The server of a machine as a service: a unit where there is a service manager, else a process of its own.

import { AppError } from "../../base/errors.ts";
import { serviceManagerTimeoutMs } from "../../base/limits.ts";
import { failureText, succeeded } from "../../host/command.ts";
import type { Executor } from "../../host/executor.ts";

/** Where the packaged unit expects the program and its configuration. */
export const serverPaths = {
  program: "/usr/local/bin/pgherd",
  config: "/etc/pgherd/pgherd.yaml",
  unit: "/etc/systemd/system/pgherd.service",
} as const;

const UNIT = "pgherd.service";
/** By which the server's process is recognised. */
const ARGUMENTS = ["server", "run", "--config", serverPaths.config] as const;

export interface ServerSite {
  readonly executor: Executor;
  readonly signal: AbortSignal;
  /** Whether units are used. */
  readonly units: boolean;
  /** Text of the packaged unit. */
  readonly unit: string;
  readonly dataDir: string;
}

/** Starts the server, now and, with units, at every boot; a running one starts anew with what is on disk now. */
export async function startServer(site: ServerSite): Promise<void> {
  const { executor, signal, units } = site;
  if (!units) {
    await stopProcesses(site);
    const argv = [serverPaths.program, ...ARGUMENTS];
    const script = 'exec setsid --fork "$@" >>"$0" 2>&1 </dev/null';
    await call(site, ["/bin/sh", "-c", script, `${site.dataDir}/server.log`, ...argv]);
    return;
  }
  await executor.put(serverPaths.unit, site.unit, { mode: 0o644, signal });
  await call(site, ["systemctl", "daemon-reload"]);
  await call(site, ["systemctl", "enable", UNIT]);
  await call(site, ["systemctl", "restart", UNIT]);
}

/** Ends the server and forgets its service. */
export async function removeServer(site: ServerSite): Promise<void> {
  const { executor, signal, units } = site;
  if (!units) return stopProcesses(site);
  if (!(await executor.stat(serverPaths.unit, signal))) return;
  await call(site, ["systemctl", "disable", "--now", UNIT]);
  await executor.remove(serverPaths.unit, signal);
  await call(site, ["systemctl", "daemon-reload"]);
}

async function stopProcesses(site: ServerSite): Promise<void> {
  const { executor, signal } = site;
  const pattern = `^${serverPaths.program} ${ARGUMENTS.join(" ")}$`;
  for (const name of ["TERM", "KILL"]) {
    const sent = await executor.run({ argv: ["pkill", `-${name}`, "-fx", pattern] }, { signal });
    if (sent.exitCode === 1) return;
    const gone = 'for n in $(seq 300); do pgrep -fx "$1" >/dev/null || exit 0; sleep 0.1; done';
    await executor.run({ argv: ["/bin/sh", "-c", gone, "sh", pattern] }, { signal });
  }
}

async function call(
  { executor, signal }: ServerSite,
  argv: readonly [string, ...string[]],
): Promise<void> {
  const result = await executor.run({ argv, timeoutMs: serviceManagerTimeoutMs }, { signal });
  signal.throwIfAborted();
  if (!succeeded(result)) throw new AppError("retryable", failureText(result));
}
