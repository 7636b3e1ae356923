// Keepers and fencers as detached processes of a host without a server: the program there starts and ends
// them, one call each, in the same way as a server does it on its own host.
import { AppError } from "../../base/errors.ts";
import { commandKillGraceMs, distantKeepersTimeoutMs } from "../../base/limits.ts";
import { failureText } from "../../host/command.ts";
import type { DriverCapabilities, ObservedKeeper, StepContext } from "../driver.ts";
import type { DistantAnswer, DistantRequest } from "./distant-messages.ts";
import type { KeeperRunner, WantedKeeper } from "./keeper-runner.ts";

type Reader = Omit<StepContext, "log">;

export class DistantRunner implements KeeperRunner {
  readonly id = "detached";
  readonly capabilities: DriverCapabilities = {
    limits: false,
    survivesServerDown: false,
    services: false,
  };
  readonly #launcher: readonly [string, ...string[]];

  constructor(launcher: readonly [string, ...string[]]) {
    this.#launcher = launcher;
  }

  async ensure(wanted: WantedKeeper, changed: boolean, context: StepContext): Promise<void> {
    await this.#ask({ verb: "ensure", wanted, changed, host: context.host }, context, context.log);
  }

  async stopKeeper(wanted: WantedKeeper, context: StepContext): Promise<void> {
    await this.#ask({ verb: "stop", wanted, host: context.host }, context, context.log);
  }

  async removeAll(wanted: WantedKeeper, context: StepContext): Promise<void> {
    await this.#ask({ verb: "remove", wanted, host: context.host }, context, context.log);
  }

  observe(context: Reader): Promise<readonly ObservedKeeper[]> {
    return this.#ask({ verb: "observe", host: context.host }, context);
  }

  /** Looks once: whoever cares for the host calls it again and again. */
  async supervise(context: StepContext): Promise<void> {
    await this.#ask({ verb: "revive", host: context.host }, context, context.log);
  }

  async #ask(
    request: DistantRequest,
    { executor, signal }: Reader,
    log?: StepContext["log"],
  ): Promise<readonly ObservedKeeper[]> {
    const answers: DistantAnswer[] = [];
    const result = await executor.run(
      {
        argv: [...this.#launcher, "keepers"],
        stdin: JSON.stringify(request),
        timeoutMs: distantKeepersTimeoutMs + commandKillGraceMs,
        label: `pgherd keepers ${request.verb}`,
      },
      {
        signal,
        onLine(stream, line) {
          const answer = stream === "stdout" ? parseAnswer(line) : undefined;
          if (answer && "log" in answer) log?.(answer.log, answer.fields);
          else if (answer) answers.push(answer);
        },
      },
    );
    signal.throwIfAborted();
    const last = answers.at(-1);
    if (last && "done" in last) return last.done;
    if (last && "error" in last) {
      throw new AppError(last.retryable ? "retryable" : "terminal", last.error);
    }
    throw new AppError("retryable", failureText(result));
  }
}

function parseAnswer(line: string): DistantAnswer | undefined {
  if (!line.startsWith("{")) return undefined;
  const answer: DistantAnswer = JSON.parse(line);
  return answer;
}
