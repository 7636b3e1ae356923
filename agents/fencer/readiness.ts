// Tells the service manager that the fencer is ready, and from then on that it still runs (sd_notify(3)). One that
// is frozen is killed and started again; the new one adopts PostgreSQL and finds the deadline in its file. Does
// nothing where no service manager asked for it.
import { dlopen, ptr } from "bun:ffi";
import type { Clock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL_DONTWAIT = 0x4000 | 0x40;
/** sun_path of sockaddr_un (unix(7)). */
const pathBytesMax = 108;

export interface ServiceManagerEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  /** Microseconds after which silence counts as death. */
  readonly WATCHDOG_USEC?: string | undefined;
}

/** Sends READY=1, then WATCHDOG=1 four times in the time that is allowed, until the signal aborts. */
export async function reportToServiceManager(
  environment: ServiceManagerEnvironment,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: limit } = environment;
  if (socket === undefined || socket === "") return;
  const send = openNotifySocket(socket);
  send("READY=1");
  const limitMs = Number(limit ?? 0) / 1_000;
  if (!(limitMs > 0)) return;
  while (!signal.aborted) {
    send("WATCHDOG=1");
    await clock.sleep(limitMs / 4, signal).catch(() => undefined);
  }
}

/** A function that sends one datagram; a message that the service manager does not take now is dropped. */
function openNotifySocket(path: string): (message: string) => void {
  const { symbols } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  });
  const handle = symbols.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (handle < 0) throw new AppError("terminal", "no socket for the service manager");
  const address = addressOf(path);
  return (message) => {
    const bytes = new TextEncoder().encode(message);
    const flags = MSG_NOSIGNAL_DONTWAIT;
    symbols.sendto(
      handle,
      ptr(bytes),
      BigInt(bytes.length),
      flags,
      ptr(address),
      address.byteLength,
    );
  };
}

/** A sockaddr_un; a leading @ stands for the zero byte of an abstract name. */
function addressOf(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length >= pathBytesMax) {
    throw new AppError("terminal", `NOTIFY_SOCKET has more than ${pathBytesMax - 1} bytes`);
  }
  if (path.startsWith("@")) name[0] = 0;
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}
