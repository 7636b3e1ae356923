// Output of a command under a bound: the beginning and the end are kept, the middle of too much is
// cut out; complete lines are handed on as they come.

/** Longest line that is handed on in one piece, in characters. */
export const outputLineCharsMax = 16_384;

/** Keeps at most `bytesMax` of what is pushed: half from the beginning, half from the end. */
export class BoundedOutput {
  readonly #headMax: number;
  readonly #tailMax: number;
  readonly #head: Uint8Array[] = [];
  #headBytes = 0;
  #tail: Uint8Array[] = [];
  #tailBytes = 0;
  #omitted = 0;

  constructor(bytesMax: number) {
    this.#headMax = Math.ceil(bytesMax / 2);
    this.#tailMax = bytesMax - this.#headMax;
  }

  get truncated(): boolean {
    return this.#omitted > 0;
  }

  push(bytes: Uint8Array): void {
    const room = this.#headMax - this.#headBytes;
    const first = bytes.subarray(0, room);
    if (first.length > 0) {
      this.#head.push(first.slice());
      this.#headBytes += first.length;
    }
    const rest = bytes.subarray(first.length);
    if (rest.length === 0) return;
    this.#tail.push(rest.slice());
    this.#tailBytes += rest.length;
    if (this.#tailBytes > 2 * this.#tailMax + 65_536) this.#trim();
  }

  /** Everything that was kept, with a note where something is missing. */
  text(): string {
    this.#trim();
    const head = new TextDecoder().decode(concat(this.#head));
    const tail = new TextDecoder().decode(concat(this.#tail));
    return this.truncated ? `${head}\n[${this.#omitted} bytes left out]\n${tail}` : head + tail;
  }

  #trim(): void {
    const excess = this.#tailBytes - this.#tailMax;
    if (excess <= 0) return;
    this.#tail = [concat(this.#tail).slice(excess)];
    this.#tailBytes = this.#tailMax;
    this.#omitted += excess;
  }
}

/** Cuts output into lines; a line that grows too long is handed on in pieces. */
export class LineSplitter {
  readonly #emit: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #pending = "";

  constructor(emit: (line: string) => void) {
    this.#emit = emit;
  }

  push(bytes: Uint8Array): void {
    this.#pending += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#pending.split("\n");
    this.#pending = lines.pop() ?? "";
    for (const line of lines) this.#emit(line.endsWith("\r") ? line.slice(0, -1) : line);
    while (this.#pending.length > outputLineCharsMax) {
      this.#emit(this.#pending.slice(0, outputLineCharsMax));
      this.#pending = this.#pending.slice(outputLineCharsMax);
    }
  }

  /** Hands on a last line that had no end. */
  end(): void {
    this.#pending += this.#decoder.decode();
    if (this.#pending !== "") this.#emit(this.#pending);
    this.#pending = "";
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
