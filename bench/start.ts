// Time from starting the binary to its first HTTP 200, against the same binary printing its version (the floor).
import { join } from "node:path";
import { Sandbox } from "../test/e2e/harness.ts";
import { median, ms } from "./figures.ts";

const rounds = 7;
const binary = process.env.PGHERD_BINARY ?? join(import.meta.dir, "../dist/pgherd");

const floors: number[] = [];
const starts: number[] = [];
const sandbox = await Sandbox.start();
try {
  await sandbox.stopServer();
  for (let round = 0; round < rounds; round++) {
    let startMs = performance.now();
    await Bun.spawn([binary, "version"], { stdout: "ignore" }).exited;
    floors.push(performance.now() - startMs);
    startMs = performance.now();
    await sandbox.startServer();
    starts.push(performance.now() - startMs);
    await sandbox.stopServer();
  }
} finally {
  await sandbox.destroy();
}
console.log(
  `first 200: ${ms(median(starts))}; floor (pgherd version): ${ms(median(floors))}; ratio ${(median(starts) / median(floors)).toFixed(2)}`,
);
console.log(median(starts) <= 1_000 ? "first 200 within 1 s: yes" : "first 200 within 1 s: NO");
