// How this program is started once more, for keepers and fencers.

/** The compiled binary itself, or the runtime with the sources. */
export function launcher(): readonly [string, ...string[]] {
  // Modules of a compiled binary live in a file system of their own.
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}
