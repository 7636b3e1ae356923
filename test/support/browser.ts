// A page in a headless Chromium, driven by the DevTools protocol
// (https://chromedevtools.github.io/devtools-protocol/).

/** How often a condition on the page is looked at. */
const POLL_MS = 50;
const TIMEOUT_MS = 45_000;

export interface Page {
  /** Every URL that the page asked for, in order. */
  readonly requested: readonly string[];
  /** The value of an expression in the page, as JSON. */
  evaluate(expression: string): Promise<unknown>;
  /** Its value as soon as it is acceptable; throws when it never is. */
  until(expression: string, accepts: (value: unknown) => boolean): Promise<unknown>;
  close(): Promise<void>;
}

/** Opens a page in a browser of its own with an empty profile directory. */
export async function openPage(program: string, profile: string, url: string): Promise<Page> {
  const browser = Bun.spawn(
    [
      program,
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
      ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
      ...["--disable-sync", "--remote-debugging-port=0", `--user-data-dir=${profile}`],
      "about:blank",
    ],
    { stdout: "ignore", stderr: "pipe", timeout: 2 * TIMEOUT_MS },
  );
  const session = await Session.open(await debuggerUrl(browser.stderr));
  await session.navigate(url);
  return {
    requested: session.requested,
    evaluate: (expression) => session.evaluate(expression),
    until: (expression, accepts) => session.until(expression, accepts),
    async close() {
      browser.kill("SIGKILL");
      await browser.exited;
    },
  };
}

/** The browser says on stderr where it listens. */
async function debuggerUrl(stderr: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const bytes of stderr) {
    text += new TextDecoder().decode(bytes);
    const [, url] = /DevTools listening on (ws:\S+)/.exec(text) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`the browser ended: ${text}`);
}

type Parameters = Readonly<Record<string, unknown>>;

class Session {
  readonly requested: string[] = [];
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Parameters) => void>();
  #lastId = 0;
  #sessionId: unknown;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(String(data))));
  }

  static async open(url: string): Promise<Session> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", reject, { once: true });
    });
    return new Session(socket);
  }

  async navigate(url: string): Promise<void> {
    const { targetId } = await this.#send("Target.createTarget", { url: "about:blank" });
    const attached = await this.#send("Target.attachToTarget", { targetId, flatten: true });
    this.#sessionId = attached.sessionId;
    await this.#send("Network.enable", {});
    await this.#send("Page.navigate", { url });
  }

  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.#send("Runtime.evaluate", { expression, returnByValue: true });
    return Object(result).value ?? null;
  }

  async until(expression: string, accepts: (value: unknown) => boolean): Promise<unknown> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const value = await this.evaluate(expression);
      if (accepts(value)) return value;
      if (deadline.aborted) throw new Error(`${expression} is still ${JSON.stringify(value)}`);
      await Bun.sleep(POLL_MS);
    }
  }

  #send(method: string, params: Parameters): Promise<Parameters> {
    const id = ++this.#lastId;
    const session = this.#sessionId === undefined ? {} : { sessionId: this.#sessionId };
    this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  #receive(message: { id?: number; method?: string; params?: Parameters; result?: Parameters }) {
    if (message.method === "Network.requestWillBeSent") {
      this.requested.push(String(Object(message.params?.request).url));
    }
    if (message.id === undefined) return;
    this.#waiting.get(message.id)?.(message.result ?? {});
    this.#waiting.delete(message.id);
  }
}
