// The fencer alone, as the binary runs it.
import { runFencer } from "../../agents/fencer/main.ts";

process.exit(await runFencer(process.argv.slice(2)));
