// The keeper alone, as the binary runs it.
import { runKeeper } from "../../agents/keeper/main.ts";

process.exit(await runKeeper(process.argv.slice(2)));
