// What the registry needs of this folder.

export { serviceManagerOf } from "./detect.ts";
export type { DistantAnswer, DistantRequest } from "./distant-messages.ts";
export { DistantRunner } from "./distant-runner.ts";
export { BaremetalDriver } from "./driver.ts";
export { DetachedRunner } from "./ensure/detached.ts";
export { UnitsRunner } from "./ensure/units.ts";
export type { WantedKeeper } from "./keeper-runner.ts";
export { distantBinary, keeperDirectory, keepersDirectory } from "./names.ts";
export { removeServer, type ServerSite, serverPaths, startServer } from "./server-service.ts";
