// One connection per host, shared by all that is done there: opened when first needed, bounded in
// channels, closed when idle, opened again after a loss.
import type { Client, ClientChannel, SFTPWrapper, SshFailure } from "ssh2";
import type { Clock } from "../../base/clock.ts";
import {
  sshChannelsMax,
  sshIdleCloseMs,
  sshSessionRetryFirstMs,
  sshSessionTriesMax,
} from "../../base/limits.ts";
import {
  connectSsh,
  defaultTimings,
  directRoute,
  type OpenConnection,
  orAborted,
  type SshTarget,
  type SshTimings,
} from "./connect.ts";
import { HostKeyCheck } from "./known-hosts.ts";
import { Slots } from "./slots.ts";
import { SshError } from "./ssh-error.ts";

export interface SshOptions {
  /** The host to go through; its connection is opened and kept as long as this one needs it. */
  readonly jump?: SshConnection;
  readonly timings?: Partial<SshTimings>;
  readonly channelsMax?: number;
  readonly idleCloseMs?: number;
}

type Answer<T> = (error: SshFailure | undefined | null, value: T) => void;

/** Asks the connection for a channel. */
export type ChannelRequest<T> = (client: Client, answer: Answer<T>) => void;

/** Something on a connection. Released once, when it is over. */
export interface Held<T> {
  readonly value: T;
  /** Aborts with an SshError when the connection is lost. */
  readonly gone: AbortSignal;
  readonly release: () => void;
}

/** The connection to one host. Cheap to make; nothing happens before the first use. */
export class SshConnection {
  readonly target: SshTarget;
  readonly #clock: Clock;
  readonly #options: SshOptions;
  readonly #hostKey: HostKeyCheck;
  readonly #slots: Slots;
  readonly #sftp = new WeakMap<OpenConnection, Promise<SFTPWrapper>>();
  #current: Promise<OpenConnection> | undefined;
  #uses = 0;
  #busyAgain = new AbortController();
  #closed = false;

  /** Throws a terminal AppError when the pinned host key is none. */
  constructor(target: SshTarget, clock: Clock, options: SshOptions = {}) {
    this.target = target;
    this.#clock = clock;
    this.#options = options;
    this.#hostKey = new HostKeyCheck(target.hostKey);
    this.#slots = new Slots(options.channelsMax ?? sshChannelsMax);
  }

  /**
   * A channel of a session, one of at most channelsMax. `attach` is called at once, before anything
   * that arrives on the channel can be missed.
   */
  async session<T>(
    request: ChannelRequest<ClientChannel>,
    attach: (channel: ClientChannel) => T,
    signal?: AbortSignal,
  ): Promise<Held<T>> {
    const leave = await this.#slots.enter(signal);
    try {
      const held = await this.#patiently(() => this.channel(request, attach, signal), signal);
      return {
        ...held,
        release: () => {
          held.release();
          leave();
        },
      };
    } catch (error) {
      // The host allows fewer than we thought: without this place, behind those who wait already.
      if (isRefusal(error) && this.#slots.giveUp()) {
        return this.session(request, attach, signal);
      }
      leave();
      throw error;
    }
  }

  /** A channel that is no session, as for forwarding. */
  async channel<T>(
    request: ChannelRequest<ClientChannel>,
    attach: (channel: ClientChannel) => T,
    signal?: AbortSignal,
  ): Promise<Held<T>> {
    const release = this.#use();
    try {
      const opened = await this.#openChannel(request, attach, signal);
      return { ...opened, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The SFTP session of the connection. Throws when the host offers none. */
  async sftp(signal?: AbortSignal): Promise<Held<SFTPWrapper>> {
    const release = this.#use();
    try {
      const open = await this.#connection(signal);
      const value = await within(this.#sftpOf(open), open.gone, signal);
      return { value, gone: open.gone, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Ends the connection and everything on it; the object cannot be used again. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#end();
  }

  /** sshd counts a session until it has cleaned up after it, somewhat longer than we do. */
  async #patiently<T>(open: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await open();
      } catch (error) {
        if (!isRefusal(error) || attempt === sshSessionTriesMax - 1) throw error;
        await this.#clock.sleep(sshSessionRetryFirstMs * 2 ** attempt, signal);
      }
    }
  }

  /** A connection that was lost unnoticed shows when a channel is asked for: then once more, anew. */
  async #openChannel<T>(
    request: ChannelRequest<ClientChannel>,
    attach: (channel: ClientChannel) => T,
    signal: AbortSignal | undefined,
  ): Promise<{ value: T; gone: AbortSignal }> {
    const open = await this.#connection(signal);
    try {
      return await this.#request(open, request, attach, signal);
    } catch (error) {
      if (!open.gone.aborted || signal?.aborted) throw error;
      return this.#request(await this.#connection(signal), request, attach, signal);
    }
  }

  async #request<T>(
    open: OpenConnection,
    request: ChannelRequest<ClientChannel>,
    attach: (channel: ClientChannel) => T,
    signal: AbortSignal | undefined,
  ): Promise<{ value: T; gone: AbortSignal }> {
    let given = true;
    const asked = new Promise<T>((accept, reject) => {
      request(open.client, (error, channel) => {
        if (error) reject(new SshError("retryable", this.target.hostId, "channel", error));
        else if (given) accept(attach(channel));
        else channel.close();
      });
    });
    try {
      return { value: await within(asked, open.gone, signal), gone: open.gone };
    } catch (error) {
      given = false;
      throw open.gone.aborted ? open.gone.reason : error;
    }
  }

  /** The connection, opened when there is none. Its opening goes on when one who waits gives up. */
  async #connection(signal: AbortSignal | undefined): Promise<OpenConnection> {
    if (this.#closed) {
      const { hostId } = this.target;
      throw new SshError("terminal", hostId, "channel", "the connection is no longer in use");
    }
    this.#current ??= this.#opened();
    return signal ? orAborted(this.#current, signal) : this.#current;
  }

  #opened(): Promise<OpenConnection> {
    const { jump, timings } = this.#options;
    const route = jump ? jumpRoute(jump) : directRoute;
    const opening = connectSsh(this.target, this.#hostKey, route, this.#clock, {
      ...defaultTimings,
      ...timings,
    });
    const forget = () => {
      if (this.#current === opening) this.#current = undefined;
    };
    opening.then(({ gone }) => gone.addEventListener("abort", forget, { once: true }), forget);
    return opening;
  }

  #sftpOf(open: OpenConnection): Promise<SFTPWrapper> {
    const known = this.#sftp.get(open);
    if (known) return known;
    const opening = new Promise<SFTPWrapper>((accept, reject) => {
      open.client.sftp((error, sftp) => (error ? reject(error) : accept(sftp)));
    });
    const forget = () => this.#sftp.delete(open);
    // A server that ends its SFTP session gets a new one at the next use.
    opening.then((sftp) => sftp.once("close", forget), forget);
    this.#sftp.set(open, opening);
    return opening;
  }

  #use(): () => void {
    this.#uses += 1;
    this.#busyAgain.abort();
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      this.#uses -= 1;
      if (this.#uses === 0) this.#closeWhenIdle();
    };
  }

  #closeWhenIdle(): void {
    const busyAgain = new AbortController();
    this.#busyAgain = busyAgain;
    this.#clock.sleep(this.#options.idleCloseMs ?? sshIdleCloseMs, busyAgain.signal).then(
      () => this.#end(),
      (reason: unknown) => reason,
    );
  }

  async #end(): Promise<void> {
    this.#busyAgain.abort();
    const current = this.#current;
    this.#current = undefined;
    const open = await current?.catch((error: unknown) => {
      if (error instanceof SshError) return undefined;
      throw error;
    });
    if (!open || open.gone.aborted) return;
    open.client.end();
    // The other side may be unable to answer.
    await orAborted(new Promise(() => undefined), this.#clock.deadline(1_000, open.gone)).catch(
      (reason: unknown) => reason,
    );
    open.client.destroy();
  }
}

/** Whether sshd is there and does not want another channel. */
function isRefusal(error: unknown): boolean {
  return error instanceof SshError && /open failure/.test(error.message);
}

/** A channel through the jump host, which stays in use as long as the channel is open. */
function jumpRoute(jump: SshConnection): typeof directRoute {
  return async (target, signal) => {
    const held = await jump.channel(
      (client, answer) => client.forwardOut("127.0.0.1", 0, target.address, target.port, answer),
      (channel) => channel,
      signal,
    );
    held.value.once("close", held.release);
    return held.value;
  };
}

function within<T>(
  promise: Promise<T>,
  gone: AbortSignal,
  signal: AbortSignal | undefined,
): Promise<T> {
  return orAborted(promise, signal ? AbortSignal.any([gone, signal]) : gone);
}
