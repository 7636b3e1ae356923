// The argv of PostgreSQL's own programs. Built here, run by others, never as root.

export interface InitdbInput {
  readonly binDir: string;
  readonly dataDir: string;
  readonly superuser: string;
  readonly major: number;
}

/**
 * initdb with checksums, UTF-8 and a locale that does not depend on the operating system's collation versions: the
 * builtin provider from 17 on, the C library's C.UTF-8 before. Nobody is trusted (manual, "initdb").
 */
export function initdbArgv(input: InitdbInput): readonly [string, ...string[]] {
  const provider =
    input.major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
  return [
    `${input.binDir}/initdb`,
    `--pgdata=${input.dataDir}`,
    `--username=${input.superuser}`,
    "--data-checksums",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    ...provider,
    "--auth-local=peer",
    "--auth-host=scram-sha-256",
    "--no-instructions",
  ];
}

/** The postmaster with its data and its configuration file. */
export function postgresArgv(
  binDir: string,
  dataDir: string,
  configFile: string,
): readonly [string, ...string[]] {
  return [`${binDir}/postgres`, "-D", dataDir, "-c", `config_file=${configFile}`];
}

/** Makes a running postmaster read its files, also one that does not answer yet (manual, "pg_ctl", mode reload). */
export function reloadArgv(binDir: string, dataDir: string): readonly [string, ...string[]] {
  return [`${binDir}/pg_ctl`, "reload", "-D", dataDir];
}

/**
 * Reads a configuration file as a starting postmaster would, prints one setting and exits: 0 when every setting is
 * known and has a possible value. `anyDir` only has to exist (manual, "postgres", option -C).
 */
export function checkConfigArgv(
  binDir: string,
  anyDir: string,
  configFile: string,
): readonly [string, ...string[]] {
  return [
    `${binDir}/postgres`,
    "-C",
    "config_file",
    "-D",
    anyDir,
    "-c",
    `config_file=${configFile}`,
    "-c",
    "log_min_messages=log",
    "-c",
    "lc_messages=C",
  ];
}

/** What `postgres -C` complained about, one text per problem, without times and process ids. */
export function parseConfigComplaints(output: string): readonly string[] {
  const problems = output
    .split("\n")
    .map((line) => /\b(LOG|FATAL|ERROR|PANIC): {2}(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => match[2] ?? "")
    .filter((text) => !text.startsWith("skipping missing configuration file"));
  const specific = problems.filter(
    (text) => !/^configuration file ".*" contains errors$/.test(text),
  );
  return specific.length > 0 ? specific : problems;
}

/**
 * PostgreSQL in single-user mode, which recovers, reads end of file from its standard input, and shuts down. The
 * archiver does not run there; a command that fails keeps segments from being taken for archived.
 */
export function singleUserArgv(
  binDir: string,
  dataDir: string,
  configFile: string,
): readonly [string, ...string[]] {
  const settings = [
    `config_file=${configFile}`,
    "archive_command=/bin/false",
    "synchronous_standby_names=",
    "logging_collector=off",
    "log_destination=stderr",
  ];
  return [
    `${binDir}/postgres`,
    "--single",
    "-D",
    dataDir,
    ...settings.flatMap((setting) => ["-c", setting]),
    "template1",
  ];
}
