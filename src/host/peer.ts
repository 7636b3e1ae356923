// Another host of the cluster as an executor: what is asked here is done by that host's own server, which answers
// with the same results and errors as if it had been asked there. A lost connection is retryable and names the host.
import type { Clock } from "../base/clock.ts";
import { AppError, isAbort, messageOf } from "../base/errors.ts";
import type { Ids } from "../base/ids.ts";
import {
  commandKillGraceMs,
  commandTimeoutMs,
  hostFileBytesMax,
  peerPutTimeoutMs,
  peerRequestTimeoutMs,
  peerSilenceMs,
  removeTreeTimeoutMs,
} from "../base/limits.ts";
import type { Command, CommandResult } from "./command.ts";
import type { Executor, FileOptions, FileStat, PlanMark, RunOptions } from "./executor.ts";
import { peerEvents } from "./peer-events.ts";
import { answeredError, type PeerLink, type PeerRequest } from "./peer-link.ts";
import {
  peerPaths,
  planHeaders,
  type RunEvent,
  type RunRequest,
  sentCommand,
} from "./peer-messages.ts";
import { renderCommand } from "./quote.ts";

export interface PeerDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  /** The plan on whose behalf is asked; the host refuses older ones than the newest it saw. */
  readonly plan?: PlanMark;
}

export class PeerExecutor implements Executor {
  readonly hostId: string;
  readonly #link: PeerLink;
  readonly #deps: PeerDeps;

  constructor(link: PeerLink, deps: PeerDeps) {
    this.hostId = link.hostId;
    this.#link = link;
    this.#deps = deps;
  }

  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    options.signal?.throwIfAborted();
    const startedMs = this.#deps.clock.monotonicMs();
    const request: RunRequest = {
      id: this.#deps.ids.uuid(),
      command: sentCommand(command),
      lines: options.onLine !== undefined,
    };
    const limitMs = (command.timeoutMs ?? commandTimeoutMs) + commandKillGraceMs + peerSilenceMs;
    const events = this.stream(peerPaths.run, request, {
      limitMs,
      ...(options.signal ? { signal: options.signal } : {}),
      cancelPath: `${peerPaths.run}/${request.id}`,
    });
    try {
      for await (const event of events) {
        if (event.event === "line") options.onLine?.(event.stream, event.line);
        if (event.event === "result") return event.result;
      }
    } catch (thrown) {
      if (!options.signal?.aborted) throw thrown;
      const durationMs = this.#deps.clock.monotonicMs() - startedMs;
      return cancelledResult(command, durationMs, messageOf(thrown));
    }
    throw this.lost("it ended the connection before the command ended");
  }

  async put(path: string, content: string | Uint8Array, options: FileOptions): Promise<void> {
    const query = { path, ...modeAndOwner(options) };
    await this.ask(
      { method: "PUT", path: peerPaths.file, query, body: content },
      options.signal,
      peerPutTimeoutMs,
    );
  }

  async get(
    path: string,
    options: { bytesMax?: number; signal?: AbortSignal } = {},
  ): Promise<Uint8Array | undefined> {
    const query = { path, bytes_max: String(options.bytesMax ?? hostFileBytesMax) };
    const request = { method: "GET", path: peerPaths.file, query } as const;
    const answer = await this.ask(request, options.signal, peerPutTimeoutMs);
    return answer.status === 204 ? undefined : answer.body;
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat | undefined> {
    const request = { method: "GET", path: peerPaths.stat, query: { path } } as const;
    const answer = await this.ask(request, signal);
    if (answer.status === 204) return undefined;
    const stat: FileStat = JSON.parse(new TextDecoder().decode(answer.body));
    return stat;
  }

  async mkdir(path: string, options: FileOptions): Promise<void> {
    const query = { path, ...modeAndOwner(options) };
    await this.ask({ method: "PUT", path: peerPaths.directory, query }, options.signal);
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    const request = { method: "DELETE", path: peerPaths.tree, query: { path } } as const;
    await this.ask(request, signal, removeTreeTimeoutMs + peerSilenceMs);
  }

  async list(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    const request = { method: "GET", path: peerPaths.directory, query: { path } } as const;
    const answer = await this.ask(request, signal);
    const names: string[] = JSON.parse(new TextDecoder().decode(answer.body));
    return names;
  }

  /**
   * Asks for something that takes its time and is told about line by line. An abort is passed on to
   * the host, and what was asked for has ended there when this ends, if the host can still be reached.
   */
  stream(
    path: string,
    body: object,
    options: {
      readonly limitMs: number;
      readonly signal?: AbortSignal;
      /** Where a DELETE ends it. */
      readonly cancelPath: string;
    },
  ): AsyncGenerator<RunEvent> {
    const { clock } = this.#deps;
    const request = { path, body: JSON.stringify(body), headers: planHeaders(this.#deps.plan) };
    return peerEvents({ link: this.#link, clock, ...request, ...options });
  }

  /** One question and its whole answer. Throws what the host said went wrong, or that it could not be asked. */
  async ask(
    request: Omit<PeerRequest, "signal">,
    signal: AbortSignal | undefined,
    timeoutMs = peerRequestTimeoutMs,
  ): Promise<{ readonly status: number; readonly body: Uint8Array }> {
    signal?.throwIfAborted();
    const { clock, plan } = this.#deps;
    const deadline = clock.deadline(timeoutMs, signal);
    try {
      const headers = { ...request.headers, ...planHeaders(plan) };
      const response = await this.#link.request({ ...request, headers, signal: deadline });
      const body = await response.bytes();
      if (response.ok) return { status: response.status, body };
      throw answeredError(this.hostId, response.status, new TextDecoder().decode(body));
    } catch (thrown) {
      signal?.throwIfAborted();
      if (isAbort(thrown)) throw this.lost(`no answer within ${timeoutMs} ms`);
      throw thrown instanceof AppError ? thrown : this.lost(messageOf(thrown));
    }
  }

  /** What it means when the host is gone in the middle of something. */
  lost(why: string): AppError {
    return new AppError("retryable", `host ${this.hostId}: ${why}`);
  }
}

function modeAndOwner(options: FileOptions): Record<string, string> {
  const mode = options.mode.toString(8);
  return options.owner === undefined ? { mode } : { mode, owner: options.owner };
}

function cancelledResult(command: Command, durationMs: number, why: string): CommandResult {
  return {
    command: command.label ?? renderCommand(command.argv),
    exitCode: null,
    signal: null,
    timedOut: false,
    cancelled: true,
    stdout: "",
    stderr: why,
    truncated: false,
    durationMs,
  };
}
