// postmaster.pid outlives a power loss, and after the boot its number often belongs to another process: that of the next
// instance, for example. PostgreSQL refuses to start while a process of its user has that number, whatever it is.
import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync } from "node:fs";
import { hasCode, readProcess } from "../../src/host/process.ts";
import { membersOf, type Territory } from "./territory.ts";

/** Room for the first line; the rest does not matter. */
const lineBytesMax = 32;

/** Removes the lock file when its number is that of a process which is none of the instance; answers the number. */
export function removeForeignLock(territory: Territory): number | undefined {
  const path = `${territory.dataDir}/postmaster.pid`;
  const pid = readPid(path);
  if (pid === undefined || !readProcess(pid)) return undefined;
  if (membersOf(territory).some((member) => member.pid === pid)) return undefined;
  unlinkSync(path);
  return pid;
}

/** The directory belongs to PostgreSQL's user, who must not lead us to another file. */
function readPid(path: string): number | undefined {
  let handle: number;
  try {
    handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO")) return undefined;
    throw error;
  }
  try {
    if (!fstatSync(handle).isFile()) return undefined;
    const bytes = new Uint8Array(lineBytesMax);
    const length = readSync(handle, bytes, 0, lineBytesMax, 0);
    const [line = ""] = new TextDecoder().decode(bytes.subarray(0, length)).split("\n");
    // That of a server for a single user has a sign.
    const pid = Math.abs(Number.parseInt(line, 10));
    return pid > 0 ? pid : undefined;
  } finally {
    closeSync(handle);
  }
}
