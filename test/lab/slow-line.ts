// A line of the lab that is slow and loses packets: takes packets from a netfilter queue and lets them go later, or
// never. The kernel's own netem is a module that many machines lack. Runs as a process of its own in the switch:
//   bun slow-line.ts QUEUE DELAY_MS JITTER_MS LOSS_PERCENT
// Prints a line when it is ready. Only the packets' numbers come here; when it falls behind, packets pass.
import { dlopen, FFIType, ptr } from "bun:ffi";

const { i32, u32, u64, i64, ptr: pointer } = FFIType;
const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i64 },
  recv: { args: [i32, pointer, u64, i32], returns: i64 },
  poll: { args: [pointer, u64, i32], returns: i32 },
});

const [queue = 0, delayMs = 0, jitterMs = 0, lossPercent = 0] = process.argv.slice(2).map(Number);
// linux/netlink.h, linux/netfilter/nfnetlink_queue.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_NETFILTER = 12;
const SUBSYSTEM = 3 << 8;
const PACKET = SUBSYSTEM | 0;
const VERDICT = SUBSYSTEM | 1;
const CONFIG = SUBSYSTEM | 2;
const DROP = 0;
const ACCEPT = 1;
const REQUEST = 1;
const REQUEST_AND_ACK = 5;
const HEADER_BYTES = 16;
const FAIL_OPEN_AND_GSO = 5;

const socket = libc.socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
if (socket < 0) throw new Error("no netlink socket");

/** An attribute whose value is big-endian words, or bytes. */
function attribute(type: number, value: Uint8Array): Uint8Array {
  const padded = new Uint8Array(4 + ((value.length + 3) & ~3));
  const view = new DataView(padded.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  padded.set(value, 4);
  return padded;
}

function words(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  for (const [at, value] of values.entries()) view.setUint32(at * 4, value);
  return new Uint8Array(view.buffer);
}

function send(type: number, flags: number, body: Uint8Array): void {
  const message = new Uint8Array(HEADER_BYTES + 4 + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint16(HEADER_BYTES + 2, queue);
  message.set(body, HEADER_BYTES + 4);
  libc.send(socket, ptr(message), message.length, 0);
}

const received = new Uint8Array(1 << 20);

function receive(): DataView {
  const length = Number(libc.recv(socket, ptr(received), received.length, 0));
  return new DataView(received.buffer, 0, Math.max(0, length));
}

function configure(body: Uint8Array): void {
  send(CONFIG, REQUEST_AND_ACK, body);
  const error = receive().getInt32(HEADER_BYTES, true);
  if (error !== 0) throw new Error(`netfilter queue ${queue}: error ${error}`);
}

const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const option = (level: number, name: number, value: number) =>
  libc.setsockopt(socket, level, name, ptr(new Int32Array([value])), 4);
option(SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20);
option(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
const address = new Uint8Array(12);
address[0] = AF_NETLINK;
if (libc.bind(socket, ptr(address), address.length) !== 0) throw new Error("cannot bind netlink");
configure(attribute(1, new Uint8Array([1, 0, 0, 2])));
configure(attribute(2, new Uint8Array([0, 0, 0, 0, 1])));
configure(attribute(3, words(65_536)));
const flags = words(FAIL_OPEN_AND_GSO);
configure(new Uint8Array([...attribute(5, flags), ...attribute(4, flags)]));

/** Packets in the order in which they go on: a line does not reorder. */
const waiting: { readonly id: number; readonly dueMs: number }[] = [];
let lastDueMs = 0;

function verdict(id: number, what: number): void {
  send(VERDICT, REQUEST, attribute(2, words(what, id)));
}

function take(id: number): void {
  if (Math.random() * 100 < lossPercent) {
    verdict(id, DROP);
    return;
  }
  const jitter = (Math.random() * 2 - 1) * jitterMs;
  lastDueMs = Math.max(lastDueMs, performance.now() + delayMs + jitter);
  waiting.push({ id, dueMs: lastDueMs });
}

function packets(view: DataView): void {
  for (let at = 0; at + HEADER_BYTES <= view.byteLength; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES) return;
    const end = at + length;
    if (view.getUint16(at + 4, true) === PACKET) {
      for (let each = at + HEADER_BYTES + 4; each + 4 <= end; ) {
        const size = view.getUint16(each, true);
        if ((view.getUint16(each + 2, true) & 0x7fff) === 1) take(view.getUint32(each + 4));
        each += Math.max(4, (size + 3) & ~3);
      }
    }
    at += (length + 3) & ~3;
  }
}

const POLLIN = 1;
const polled = new Int32Array([socket, POLLIN]);
process.stdout.write("ready\n");
for (;;) {
  while ((waiting[0]?.dueMs ?? Number.POSITIVE_INFINITY) <= performance.now()) {
    verdict(waiting.shift()?.id ?? 0, ACCEPT);
  }
  const next = waiting[0];
  const waitMs = next === undefined ? -1 : Math.max(0, Math.ceil(next.dueMs - performance.now()));
  if (libc.poll(ptr(polled), 1, waitMs) > 0) packets(receive());
}
