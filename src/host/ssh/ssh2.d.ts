// What this folder uses of ssh2, which brings no types.

declare module "ssh2" {
  import type { EventEmitter } from "node:events";
  import type { Duplex, Readable } from "node:stream";

  /** `code` is a number for SFTP status codes, a string for errors of the socket. */
  export interface SshFailure extends Error {
    readonly level?: string;
    readonly code?: string | number;
  }

  export interface ConnectConfig {
    readonly sock: Duplex;
    readonly username: string;
    readonly privateKey?: string;
    readonly passphrase?: string;
    readonly agent?: string;
    readonly readyTimeout: number;
    readonly keepaliveInterval: number;
    readonly keepaliveCountMax: number;
    readonly algorithms?: { readonly serverHostKey: readonly string[] };
    readonly hostVerifier: (key: Buffer, verify: (accepted: boolean) => void) => void;
  }

  export interface ClientChannel extends Duplex {
    readonly stderr: Readable;
    close(): void;
  }

  export interface FileAttributes {
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly size: number;
    /** Seconds since the epoch. */
    readonly mtime: number;
  }

  type Done = (error?: SshFailure | null) => void;
  type Answer<T> = (error: SshFailure | undefined | null, value: T) => void;

  export interface SFTPWrapper extends EventEmitter {
    open(path: string, flags: string, mode: number, answer: Answer<Buffer>): void;
    close(handle: Buffer, done: Done): void;
    read(
      handle: Buffer,
      buffer: Buffer,
      offset: number,
      length: number,
      position: number,
      answer: Answer<number>,
    ): void;
    write(
      handle: Buffer,
      buffer: Buffer,
      offset: number,
      length: number,
      position: number,
      done: Done,
    ): void;
    fchmod(handle: Buffer, mode: number, done: Done): void;
    fchown(handle: Buffer, uid: number, gid: number, done: Done): void;
    stat(path: string, answer: Answer<FileAttributes>): void;
    lstat(path: string, answer: Answer<FileAttributes>): void;
    readdir(path: string, answer: Answer<readonly { readonly filename: string }[]>): void;
    unlink(path: string, done: Done): void;
    ext_openssh_fsync(handle: Buffer, done: Done): void;
    ext_openssh_rename(from: string, to: string, done: Done): void;
    end(): void;
  }

  export class Client extends EventEmitter {
    connect(config: ConnectConfig): this;
    exec(command: string, answer: Answer<ClientChannel>): this;
    sftp(answer: Answer<SFTPWrapper>): this;
    forwardOut(
      fromHost: string,
      fromPort: number,
      toHost: string,
      toPort: number,
      answer: Answer<ClientChannel>,
    ): this;
    openssh_forwardOutStreamLocal(path: string, answer: Answer<ClientChannel>): this;
    end(): this;
    destroy(): this;
  }
}
