// Commands of the lab and waits with a bound; nothing here knows of hosts.

export interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly timeoutMs?: number;
  /** Throw when the command fails (the default) or give its output whatever came of it. */
  readonly check?: boolean;
}

/** Runs one command of this machine and collects what it says. */
export async function run(argv: readonly string[], options: ExecOptions = {}): Promise<Output> {
  const child = Bun.spawn([...argv], {
    stdin: options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 60_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0 && (options.check ?? true)) {
    throw new Error(
      `${argv.join(" ").slice(0, 300)}: exit ${exitCode}: ${stderr.trim() || stdout.trim()}`,
    );
  }
  return { exitCode, stdout, stderr };
}

/** Waits until `probe` gives true, or throws with `what` after the bound. */
export async function eventually(
  what: string,
  probe: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    if (await probe()) return;
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(100);
  }
}
