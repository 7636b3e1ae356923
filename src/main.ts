// The entry of the one binary: picks the subcommand. What it does not need is not loaded, so that keepers
// and fencers stay small and start fast.

/** Subcommands that are not commands of the API's client. */
async function run(argv: readonly string[]): Promise<number> {
  const [first, second, ...rest] = argv;
  if (first === "keeper")
    return (await import("../agents/keeper/main.ts")).runKeeper(argv.slice(1));
  if (first === "fencer")
    return (await import("../agents/fencer/main.ts")).runFencer(argv.slice(1));
  if (first === "keepers") return (await import("./server/keepers-command.ts")).runKeepersCommand();
  if (first === "version") return (await import("./server/print.ts")).printVersion();
  if (first === "server" && !rest.includes("--help")) {
    if (second === "run") return (await import("./server.ts")).runServer(rest);
    if (second === "print-config") return (await import("./server/print.ts")).printConfig(rest);
    if (second === "check-config") return (await import("./server/print.ts")).checkConfig(rest);
  } else if (first === "server" && second !== undefined) {
    return (await import("./server/print.ts")).printServerHelp(second);
  }
  const [{ runCli }, { processTerminal }] = await Promise.all([
    import("./cli/main.ts"),
    import("./process-terminal.ts"),
  ]);
  return runCli(argv, processTerminal());
}

run(process.argv.slice(2)).then((status) => process.exit(status));
