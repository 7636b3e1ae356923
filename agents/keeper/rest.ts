// The REST API on its addresses. Answers come from memory; a request never waits for PostgreSQL, except a restart,
// which answers when it is done.
import { messageOf } from "../../src/base/errors.ts";
import type { Logger } from "../../src/base/log.ts";
import { systemAddressesOf } from "../../src/postgres/hba.ts";
import type { InstanceConfig } from "../../src/spec/instance-config.ts";
import { AddressList } from "./address-list.ts";
import type { PeerAnswer } from "./ha/peers.ts";
import { answerRest } from "./rest-answers.ts";
import type { RestView } from "./rest-json.ts";
import type { RestCommand } from "./rest-messages.ts";

export interface RestDeps {
  readonly log: Logger;
  readonly view: () => RestView;
  readonly nowMs: () => number;
  /** Answers what members of the group ask each other; undefined for everything else. */
  readonly peer: (request: Request, body: string) => Promise<PeerAnswer | undefined>;
  /** Carries a command out. What came of it, where that is not what the answer says already. */
  readonly command: (command: RestCommand) => Promise<RestOutcome | undefined>;
}

export interface RestOutcome {
  readonly status: number;
  readonly body: string;
}

/** Longest request body, bytes. */
const bodyBytesMax = 64 * 1024;

type Listener = ReturnType<typeof Bun.serve>;

/** The servers of one instance; follows its configuration. */
export class RestApi {
  readonly #deps: RestDeps;
  #servers: readonly Listener[] = [];
  #listening = "";
  #trusted = new AddressList([]);

  constructor(deps: RestDeps) {
    this.#deps = deps;
  }

  /** Listens as the configuration says; keeps what already listens there. An address that is taken is logged. */
  async follow(config: InstanceConfig): Promise<void> {
    const own = config.listen_addresses.filter((address) => address !== "*");
    const loopback = ["127.0.0.0/8", "::1/128"];
    this.#trusted = new AddressList([...loopback, ...own, ...systemAddressesOf(config.hba)]);
    const addresses = restAddresses(config);
    const wanted = `${addresses.join(",")}:${config.rest_port}`;
    if (wanted === this.#listening) return;
    await this.stop();
    const { rest_port } = config;
    if (rest_port === null) return;
    this.#servers = addresses
      .map((address) => this.#listen(address, rest_port))
      .filter((server) => server !== undefined);
    if (this.#servers.length > 0) this.#listening = wanted;
  }

  async stop(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    this.#listening = "";
    await Promise.all(servers.map((server) => server.stop(true)));
  }

  #listen(hostname: string, port: number): Listener | undefined {
    const { log } = this.#deps;
    try {
      return Bun.serve({
        hostname,
        port,
        maxRequestBodySize: bodyBytesMax,
        idleTimeout: 120,
        development: false,
        fetch: (request, server) => this.#answer(request, server.requestIP(request)?.address),
        error: (error) => {
          log.error("REST request failed", { error });
          return new Response("", { status: 500 });
        },
      });
    } catch (error) {
      log.error("REST API cannot listen", { hostname, port, error: messageOf(error) });
      return undefined;
    }
  }

  async #answer(request: Request, address: string | undefined): Promise<Response> {
    const { view, nowMs, command, peer } = this.#deps;
    const body = request.body === null ? undefined : await request.text();
    const toPeer = await peer(request, body ?? "");
    if (toPeer) return new Response(toPeer.body, toPeer);
    const trusted = address !== undefined && this.#trusted.has(address);
    const { method, url } = request;
    const authorization = request.headers.get("authorization") ?? undefined;
    const asked = { method, url, body, trusted, authorization };
    const answer = answerRest(asked, view(), nowMs());
    const headers = { "content-type": answer.contentType, ...answer.headers };
    if (answer.command) {
      const outcome = await command(answer.command);
      if (outcome) return new Response(outcome.body, { status: outcome.status, headers });
    }
    const bare = method === "HEAD" || method === "OPTIONS";
    return bare
      ? new Response(null, { status: answer.status })
      : new Response(answer.body, { status: answer.status, headers });
  }
}

/** Always reachable from its own host, by whatever else it listens on. */
function restAddresses(config: InstanceConfig): readonly string[] {
  const addresses = config.listen_addresses.map((address) =>
    address === "*" ? "0.0.0.0" : address,
  );
  if (addresses.includes("0.0.0.0")) return ["0.0.0.0"];
  return [...new Set(["127.0.0.1", ...addresses.filter((address) => address !== "localhost")])];
}
