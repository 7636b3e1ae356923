// What other hosts of the cluster may ask this one to do: run commands, move files. Each request goes through the
// fences of plans first.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { hostFileBytesMax, peerRequestBytesMax } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Executor, FileOptions } from "../host/executor.ts";
import { peerPaths, planOf, type RunRequest, receivedCommand } from "../host/peer-messages.ts";
import {
  type InternalCall,
  type InternalHandler,
  type InternalRoutes,
  nothing,
  parameter,
} from "./internal-call.ts";
import type { PlanFences } from "./plan-fences.ts";
import type { RunningCalls } from "./running-calls.ts";

export interface HostRoutesDeps {
  /** Of this host. */
  readonly executor: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fences: PlanFences;
  readonly calls: RunningCalls;
}

/** The routes of src/host/peer.ts. */
export function hostRoutes(deps: HostRoutesDeps): InternalRoutes {
  const { executor } = deps;
  const fenced = (handler: InternalHandler) => withFence(deps.fences, handler);
  return {
    [`GET ${peerPaths.ping}`]: () =>
      Response.json({ host_id: executor.hostId, now_ms: deps.clock.nowMs() }),
    [`POST ${peerPaths.run}`]: fenced((call) => run(deps, call)),
    [`DELETE ${peerPaths.run}/*`]: (call) => deps.calls.cancel(call),
    [`PUT ${peerPaths.file}`]: fenced((call) => put(executor, call)),
    [`GET ${peerPaths.file}`]: (call) => get(executor, call),
    [`GET ${peerPaths.stat}`]: (call) => stat(executor, call),
    [`PUT ${peerPaths.directory}`]: fenced(async (call) => {
      await executor.mkdir(parameter(call, "path"), fileOptions(call));
      return nothing();
    }),
    [`GET ${peerPaths.directory}`]: async (call) =>
      Response.json(await executor.list(parameter(call, "path"), call.request.signal)),
    [`DELETE ${peerPaths.tree}`]: fenced(async (call) => {
      call.keepOpen();
      await executor.remove(parameter(call, "path"), call.request.signal);
      return nothing();
    }),
  };
}

/** Refuses what belongs to an older plan than one that was seen. */
export function withFence(fences: PlanFences, handler: InternalHandler): InternalHandler {
  return (call) => {
    const plan = planOf(call.request.headers);
    if (plan) fences.pass(plan);
    return handler(call);
  };
}

async function run(
  { executor, calls, log }: HostRoutesDeps,
  call: InternalCall,
): Promise<Response> {
  const { id, command, lines }: RunRequest = JSON.parse(await call.request.text());
  log.debug("runs a command for another host", { caller: call.caller, command: command.label });
  return calls.serve(call, id, async (say, signal) => {
    const onLine = (stream: "stdout" | "stderr", line: string) =>
      say({ event: "line", stream, line });
    const options = lines ? { signal, onLine } : { signal };
    return { event: "result", result: await executor.run(receivedCommand(command), options) };
  });
}

async function put(executor: Executor, call: InternalCall): Promise<Response> {
  const content = await call.request.bytes();
  await executor.put(parameter(call, "path"), content, fileOptions(call));
  return nothing();
}

async function get(executor: Executor, call: InternalCall): Promise<Response> {
  const asked = Number(call.url.searchParams.get("bytes_max") ?? hostFileBytesMax);
  const bytesMax = Math.min(Math.max(asked, 0), peerRequestBytesMax);
  const { signal } = call.request;
  const content = await executor.get(parameter(call, "path"), { bytesMax, signal });
  if (!content) return nothing();
  return new Response(new Uint8Array(content), {
    headers: { "content-type": "application/octet-stream" },
  });
}

async function stat(executor: Executor, call: InternalCall): Promise<Response> {
  const found = await executor.stat(parameter(call, "path"), call.request.signal);
  return found ? Response.json(found) : nothing();
}

function fileOptions(call: InternalCall): FileOptions {
  const mode = Number.parseInt(parameter(call, "mode"), 8);
  if (!(mode >= 0 && mode <= 0o7777)) throw new AppError("terminal", "not the mode of a file");
  const owner = call.url.searchParams.get("owner");
  const { signal } = call.request;
  return owner === null ? { mode, signal } : { mode, owner, signal };
}
