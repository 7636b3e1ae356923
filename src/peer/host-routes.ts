// What other hosts of the cluster may ask this one to do: run commands, move files. Each request goes through the
// fences of plans first.
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { hostFileBytesMax, peerCommandsMax, peerRequestBytesMax } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Executor, FileOptions } from "../host/executor.ts";
import { peerPaths, planOf, type RunRequest, receivedCommand } from "../host/peer-messages.ts";
import { eventLines } from "./event-lines.ts";
import {
  type InternalCall,
  type InternalHandler,
  type InternalRoutes,
  parameter,
  problem,
} from "./internal-call.ts";
import type { PlanFences } from "./plan-fences.ts";

export interface HostRoutesDeps {
  /** Of this host. */
  readonly executor: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fences: PlanFences;
}

/** The routes of src/host/peer.ts. */
export function hostRoutes(deps: HostRoutesDeps): InternalRoutes {
  const { executor } = deps;
  const commands = new RunningCommands(deps);
  const fenced = (handler: InternalHandler) => withFence(deps.fences, handler);
  return {
    [`GET ${peerPaths.ping}`]: () =>
      Response.json({ host_id: executor.hostId, now_ms: deps.clock.nowMs() }),
    [`POST ${peerPaths.run}`]: fenced((call) => commands.run(call)),
    [`DELETE ${peerPaths.run}/*`]: (call) => commands.cancel(call),
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

class RunningCommands {
  readonly #deps: HostRoutesDeps;
  readonly #running = new Map<string, AbortController>();

  constructor(deps: HostRoutesDeps) {
    this.#deps = deps;
  }

  async run(call: InternalCall): Promise<Response> {
    const { executor, clock, log } = this.#deps;
    if (this.#running.size >= peerCommandsMax) {
      return problem(429, new AppError("retryable", "too many commands of other hosts run here"));
    }
    const { id, command, lines }: RunRequest = JSON.parse(await call.request.text());
    log.debug("runs a command for another host", { caller: call.caller, command: command.label });
    const cancelled = new AbortController();
    this.#running.set(id, cancelled);
    return eventLines(clock, call, async (say, gone) => {
      try {
        const result = await executor.run(receivedCommand(command), {
          signal: AbortSignal.any([gone, cancelled.signal]),
          ...(lines ? { onLine: (stream, line) => say({ event: "line", stream, line }) } : {}),
        });
        return { event: "result", result };
      } finally {
        this.#running.delete(id);
      }
    });
  }

  cancel(call: InternalCall): Response {
    const id = call.url.pathname.split("/").at(-1) ?? "";
    this.#running.get(id)?.abort(new DOMException("cancelled by the caller", "AbortError"));
    return nothing();
  }
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

function nothing(): Response {
  return new Response(null, { status: 204 });
}
