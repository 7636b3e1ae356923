// Rules of backup and restore: what each kind of repository needs, and what may go into its configuration.
import { Cron } from "croner";
import type { Diagnostic } from "../base/result.ts";
import type {
  BackupConfigSpec,
  BackupScheduleSpec,
  RepositoryType,
  RestoreConfigSpec,
  RestoreRepositorySpec,
} from "./backup-spec.ts";
import { parseNodeName } from "./ids.ts";
import { checkIdentifier, checkUnique, isOneLine, problem } from "./problem.ts";

type RepositoryField = Exclude<keyof RestoreRepositorySpec, "type" | "custom_options">;

const REQUIRED: Readonly<Record<RepositoryType, readonly RepositoryField[]>> = {
  s3: ["s3_bucket"],
  gcs: ["gcs_bucket"],
  azure: ["azure_account", "azure_container", "azure_key"],
  posix: ["base_path"],
  cifs: ["base_path"],
};
const OPTION_NAME = /^[a-z0-9-]+$/;
const CRON_FIELDS = 5;

/** Problems of the backup and restore configuration of a database or, with a prefix such as `nodes[0].`, of a node. */
export function checkBackup(
  level: { readonly backup_config?: BackupConfigSpec; readonly restore_config?: RestoreConfigSpec },
  prefix: string,
): readonly Diagnostic[] {
  const backup = level.backup_config;
  const restore = level.restore_config;
  return [
    ...(backup === undefined ? [] : checkBackupConfig(backup, `${prefix}backup_config`)),
    ...(restore === undefined ? [] : checkRestoreConfig(restore, `${prefix}restore_config`)),
  ];
}

/** Problems of a restore configuration, which is also the body of a restore request. */
export function checkRestoreConfig(config: RestoreConfigSpec, path: string): readonly Diagnostic[] {
  const node = parseNodeName(config.source_node_name);
  return [
    ...checkIdentifier(`${path}.source_database_id`, config.source_database_id),
    ...(node.ok ? [] : [problem(`${path}.source_node_name`, "malformed", node.error)]),
    ...checkRepository(config.repository, `${path}.repository`),
    ...checkOptions(config.restore_options, `${path}.restore_options`),
  ];
}

/** Problems of options that are handed to the backup tool. */
export function checkOptions(
  options: Readonly<Record<string, string>> | undefined,
  path: string,
): readonly Diagnostic[] {
  return Object.entries(options ?? {}).flatMap(([name, value]) => {
    const at = `${path}.${name}`;
    if (!OPTION_NAME.test(name)) {
      const message = "names of options are lower-case letters, digits and hyphens";
      return [problem(at, "malformed", message)];
    }
    return isOneLine(value)
      ? []
      : [problem(at, "malformed", "must not contain line breaks or NUL")];
  });
}

function checkBackupConfig(config: BackupConfigSpec, path: string): readonly Diagnostic[] {
  const schedules = config.schedules ?? [];
  return [
    ...config.repositories.flatMap((repository, index) =>
      checkRepository(repository, `${path}.repositories[${index}]`),
    ),
    ...checkUnique(
      schedules.map(({ id }) => id),
      (index) => `${path}.schedules[${index}].id`,
      "schedule",
    ),
    ...schedules.flatMap((schedule, index) =>
      checkSchedule(schedule, `${path}.schedules[${index}]`),
    ),
  ];
}

function checkRepository(repository: RestoreRepositorySpec, path: string): readonly Diagnostic[] {
  const missing = REQUIRED[repository.type].filter((field) => !repository[field]);
  return [
    ...checkIdentifier(`${path}.id`, repository.id),
    ...missing.map((field) =>
      problem(`${path}.${field}`, "required", `a repository of type ${repository.type} needs it`),
    ),
    ...checkTexts(repository, path),
    ...checkBasePath(repository, path),
    ...checkOptions(repository.custom_options, `${path}.custom_options`),
  ];
}

function checkTexts(repository: RestoreRepositorySpec, path: string): readonly Diagnostic[] {
  return Object.entries(repository)
    .filter(
      ([field, value]) => typeof value === "string" && field !== "gcs_key" && !isOneLine(value),
    )
    .map(([field]) =>
      problem(`${path}.${field}`, "malformed", "must not contain line breaks or NUL"),
    );
}

function checkBasePath(repository: RestoreRepositorySpec, path: string): readonly Diagnostic[] {
  const base = repository.base_path;
  if (!base || (repository.type !== "posix" && repository.type !== "cifs")) return [];
  const clean = base.startsWith("/") && !base.split("/").includes("..");
  return clean
    ? []
    : [problem(`${path}.base_path`, "malformed", "must be an absolute path without `..`")];
}

function checkSchedule(schedule: BackupScheduleSpec, path: string): readonly Diagnostic[] {
  const id = schedule.id === "" ? [problem(`${path}.id`, "required", "must not be empty")] : [];
  const wrong = cronProblem(schedule.cron_expression);
  if (wrong === undefined) return id;
  return [...id, problem(`${path}.cron_expression`, "malformed", wrong)];
}

/** Five fields, as in crontab(5). */
function cronProblem(expression: string): string | undefined {
  if (expression.trim().split(/\s+/).length !== CRON_FIELDS) {
    return "must have five fields: minute, hour, day of month, month, day of week";
  }
  try {
    new Cron(expression, { paused: true, timezone: "UTC" });
    return undefined;
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      return `is not a cron expression: ${error.message.replace(/^CronPattern: /, "")}`;
    }
    throw error;
  }
}
