// What the registry needs of this folder.

export { serviceManagerOf } from "./detect.ts";
export { BaremetalDriver } from "./driver.ts";
export { DetachedRunner } from "./ensure/detached.ts";
export { UnitsRunner } from "./ensure/units.ts";
