// What a command may touch of the process: handed in by the composition root, so commands run in tests too.
import type { Clock } from "../base/clock.ts";

export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  readonly inIsTty: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborts on interrupt. */
  readonly signal: AbortSignal;
  /** A file's text; "-" is standard input. Throws when there is none. */
  readonly readText: (path: string) => Promise<string>;
  readonly writeText: (path: string, text: string) => Promise<void>;
  readonly readBytes: (path: string) => Promise<Uint8Array<ArrayBuffer>>;
  readonly writeBytes: (path: string, bytes: Uint8Array) => Promise<void>;
  readonly fileExists: (path: string) => Promise<boolean>;
  /** One line typed by the user. */
  readonly prompt: (question: string) => Promise<string>;
  /** Runs a program on this terminal and gives its exit status. */
  readonly exec: (
    argv: readonly string[],
    env: Readonly<Record<string, string>>,
  ) => Promise<number>;
}
