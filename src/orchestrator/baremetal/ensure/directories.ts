// Directories of one instance: made with their owners, removed only where they were made.
import { AppError } from "../../../base/errors.ts";
import type { Resource } from "../../../plan/resource.ts";
import type { StepContext } from "../../driver.ts";
import { directoryInputs } from "../resources.ts";

/** initdb refuses a data directory that others can enter. */
const privateMode = 0o700;
/** Local users may connect to the sockets; pg_hba.conf judges them. */
const socketMode = 0o755;

export async function ensureDirectories(resource: Resource, context: StepContext): Promise<void> {
  const { directories, run_dir, owner } = directoryInputs(resource);
  const { executor, signal } = context;
  const shared = { signal, ...(owner === null ? {} : { owner }) };
  for (const path of directories) await executor.mkdir(path, { ...shared, mode: privateMode });
  await executor.mkdir(run_dir, { ...shared, mode: socketMode });
}

/** Removes the data too: this runs only when the instance itself is deleted. */
export async function removeDirectories(resource: Resource, context: StepContext): Promise<void> {
  const { base_dir, run_dir } = directoryInputs(resource);
  const { executor, signal, host } = context;
  checkInside(base_dir, host.instanceDir, resource);
  checkInside(run_dir, host.runDir, resource);
  await executor.remove(base_dir, signal);
  await executor.remove(run_dir, signal);
  for (const path of [base_dir, run_dir]) {
    if (await executor.stat(path, signal)) {
      throw new AppError("retryable", `${path} is still there after its removal`);
    }
  }
}

/** Only a path that ends in the instance's own id, below the place where instances are. */
function checkInside(path: string, parent: string, resource: Resource): void {
  const isOwn = path.startsWith(`${parent}/`) && path.endsWith(`/${resource.id}`);
  if (isOwn && !path.includes("/../")) return;
  throw new AppError("terminal", `refusing to remove ${path}: it is not below ${parent}`);
}
