// Fencer as in the binary, and a keeper that only lives: what a driver starts, without a store.
import { runFencer } from "../../agents/fencer/main.ts";

const [role, ...args] = process.argv.slice(2);
if (role === "fencer") process.exit(await runFencer(args));
if (role !== "keeper") process.exit(2);
setInterval(() => undefined, 60_000);
