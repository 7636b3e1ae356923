// Speaks to the API of whichever server answers. Errors become exit statuses here and nowhere else.
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { CliError, type ExitCode, exitCodes } from "./exit-codes.ts";

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** A body that is sent as it is. */
  readonly raw?: Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One event of a server-sent stream. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

export interface ClientOptions {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class ApiClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async get(path: string, query?: RequestOptions["query"]): Promise<unknown> {
    return this.request("GET", path, query ? { query } : {});
  }

  /** The JSON answer; a declared error throws CliError with its exit status. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const response = await this.#send(
      method,
      path,
      options,
      this.#options.clock.deadline(this.#options.timeoutMs),
    );
    const text = await response.text();
    if (!response.ok) throw errorOf(response.status, text);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** An answer that is no JSON. */
  async bytes(path: string): Promise<Uint8Array> {
    const limit = this.#options.clock.deadline(this.#options.timeoutMs);
    const response = await this.#send("GET", path, {}, limit);
    if (!response.ok) throw errorOf(response.status, await response.text());
    return response.bytes();
  }

  /** Server-sent events until the stream ends; without a time limit. */
  async *stream(path: string, query: RequestOptions["query"]): AsyncGenerator<StreamEvent> {
    const response = await this.#send("GET", path, {
      ...(query ? { query } : {}),
      headers: { accept: "text/event-stream" },
    });
    if (!response.ok) throw errorOf(response.status, await response.text());
    if (!response.body) return;
    let buffer = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      buffer += chunk;
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  }

  async #send(
    method: string,
    path: string,
    options: RequestOptions,
    limit?: AbortSignal,
  ): Promise<Response> {
    const failures: string[] = [];
    for (const server of this.#options.servers) {
      const signal = limit ? AbortSignal.any([limit, this.#options.signal]) : this.#options.signal;
      try {
        return await fetch(urlOf(server, path, options.query), {
          method,
          headers: {
            ...(options.body === undefined ? {} : { "content-type": "application/json" }),
            ...options.headers,
          },
          ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
          ...(options.raw === undefined ? {} : { body: options.raw }),
          signal,
        });
      } catch (thrown) {
        if (this.#options.signal.aborted) throw new CliError(exitCodes.interrupted, "interrupted");
        failures.push(`${server}: ${messageOf(thrown)}`);
        // Only a connection that was never made proves that nothing happened; anything else must not be sent twice.
        if (method !== "GET" && !neverSent(thrown)) break;
      }
    }
    throw new CliError(
      exitCodes.cannotConnect,
      `cannot reach a server:\n  ${failures.join("\n  ")}\nIs "pgherd server run" running there? Name a server with --server or PGHERD_SERVER.`,
    );
  }
}

function neverSent(thrown: unknown): boolean {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return code === "ConnectionRefused" || code === "ECONNREFUSED" || code === "FailedToOpenSocket";
}

function urlOf(server: string, path: string, query: RequestOptions["query"]): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(key, value);
  }
  const text = parameters.toString();
  return `${server}${path}${text ? `?${text}` : ""}`;
}

function parseEvent(block: string): StreamEvent | undefined {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const key = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    fields[key] = key in fields ? `${fields[key]}\n${value}` : value;
  }
  if (fields.data === undefined && fields.event === undefined) return undefined;
  return { event: fields.event ?? "message", id: fields.id ?? "", data: fields.data ?? "" };
}

const exitCodeByStatus: Readonly<Record<number, ExitCode>> = {
  400: exitCodes.usage,
  401: exitCodes.forbidden,
  403: exitCodes.forbidden,
  404: exitCodes.notFound,
  409: exitCodes.conflict,
  412: exitCodes.conflict,
  503: exitCodes.unavailable,
};

function errorOf(status: number, text: string): CliError {
  const exitCode = exitCodeByStatus[status] ?? exitCodes.failure;
  const body = parseObject(text);
  if (!body) return new CliError(exitCode, `HTTP ${status}: ${text.slice(0, 500)}`);
  const problems = Array.isArray(body.errors) ? body.errors.filter(isObject).map(problemLine) : [];
  const message = problems.length > 0 ? problems.join("\n") : String(body.message);
  return new CliError(exitCode, `${String(body.name)}: ${message}`);
}

function problemLine({ path, message, hint }: Record<string, unknown>): string {
  const where = typeof path === "string" && path !== "" ? `${path}: ` : "";
  return `${where}${String(message)}${typeof hint === "string" ? ` (${hint})` : ""}`;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
