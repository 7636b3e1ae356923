// A stream of output that begins with whatever a login shell prints, then our mark, then the command's.
import { remoteMark } from "./remote-script.ts";

/** Hands on only what follows the line with the mark. */
export class Preamble {
  /** The word after the mark; undefined until it came. */
  word: string | undefined;
  readonly #emit: (bytes: Uint8Array) => void;
  readonly #bytesMax: number;
  #pending = Buffer.alloc(0);

  constructor(emit: (bytes: Uint8Array) => void, bytesMax: number) {
    this.#emit = emit;
    this.#bytesMax = bytesMax;
  }

  push(bytes: Uint8Array): void {
    if (this.word !== undefined) {
      this.#emit(bytes);
      return;
    }
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const at = this.#pending.indexOf(remoteMark);
    const end = at < 0 ? -1 : this.#pending.indexOf("\n", at);
    if (end < 0) {
      this.#pending = this.#pending.subarray(-this.#bytesMax);
      return;
    }
    this.word = this.#pending.subarray(at + remoteMark.length, end).toString("latin1");
    const rest = this.#pending.subarray(end + 1);
    this.#pending = this.#pending.subarray(0, at);
    if (rest.length > 0) this.#emit(rest);
  }

  /** The end of what came before the mark. */
  preamble(): string {
    return this.#pending.toString("utf8").trim().slice(-1_000);
  }
}
