// The programs of the executor suite on a host with a POSIX shell.
import type { ExecutorBench } from "./executor.ts";

export const shellPrograms: ExecutorBench["programs"] = {
  say: (out, err, code) => [
    "/bin/sh",
    "-c",
    'printf %s "$1"; printf %s "$2" >&2; exit "$3"',
    "say",
    out,
    err,
    String(code),
  ],
  hang: ["/bin/sleep", "600"],
  flood: (bytes) => [
    "/bin/sh",
    "-c",
    `printf A; head -c ${bytes - 2} /dev/zero | tr '\\0' x; printf Z`,
  ],
  cat: ["cat"],
  env: ["env"],
  whoAmI: ["id", "-un"],
};
