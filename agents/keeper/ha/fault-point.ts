// Places at which a test can make the keeper die, stop or throw: PGHERD_FAULT=after:acquire kills it, stop:after:acquire
// stops it (SIGSTOP), throw:… makes the action fail. Nothing happens unless the variable is set.
import { AppError } from "../../../src/base/errors.ts";

const wanted = parse(process.env.PGHERD_FAULT);

interface Fault {
  readonly how: "kill" | "stop" | "throw";
  readonly at: string;
}

function parse(text: string | undefined): Fault | undefined {
  const match = /^(?:(kill|stop|throw):)?((?:before|after):[a-z_]+)$/.exec(text ?? "");
  if (!match?.[2]) return undefined;
  const how = match[1] === "stop" || match[1] === "throw" ? match[1] : "kill";
  return { how, at: match[2] };
}

/** Dies here when that was asked for. */
export function faultPoint(when: "before" | "after", what: string): void {
  if (wanted?.at !== `${when}:${what}`) return;
  if (wanted.how === "throw") throw new AppError("retryable", `asked to fail ${wanted.at}`);
  process.kill(process.pid, wanted.how === "kill" ? "SIGKILL" : "SIGSTOP");
}
