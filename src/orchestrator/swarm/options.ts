// What a spec may say to this driver, and the rules of it. Pure, since spec/ builds on it.
import { type Static, Type } from "@sinclair/typebox";
import type { Diagnostic } from "../../base/result.ts";
import { closed, mapOf } from "../../spec/closed.ts";

export const ExtraVolumesSpec = closed({
  host_path: Type.String({ maxLength: 256 }),
  destination_path: Type.String({ maxLength: 256 }),
});
export type ExtraVolumesSpec = Static<typeof ExtraVolumesSpec>;

export const ExtraNetworkSpec = closed({
  id: Type.String(),
  aliases: Type.Optional(Type.Array(Type.String(), { maxItems: 8 })),
  driver_opts: Type.Optional(mapOf(Type.String())),
});
export type ExtraNetworkSpec = Static<typeof ExtraNetworkSpec>;

export const SwarmOpts = closed({
  extra_volumes: Type.Optional(Type.Array(ExtraVolumesSpec, { maxItems: 16 })),
  extra_networks: Type.Optional(Type.Array(ExtraNetworkSpec, { maxItems: 8 })),
  extra_labels: Type.Optional(mapOf(Type.String())),
  image: Type.Optional(Type.String()),
});
export type SwarmOpts = Static<typeof SwarmOpts>;

const OWN_LABELS = "pgedge.";

/** Rules beyond the shape. Services may have neither volumes nor driver options of networks. */
export function checkSwarmOpts(
  opts: SwarmOpts,
  path: string,
  owner: "instance" | "service",
): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  for (const label of Object.keys(opts.extra_labels ?? {})) {
    if (!label.startsWith(OWN_LABELS)) continue;
    const message = `labels that begin with \`${OWN_LABELS}\` belong to the control plane`;
    problems.push({ path: `${path}.extra_labels.${label}`, code: "reserved", message });
  }
  if (owner === "instance") return problems;
  if (opts.extra_volumes?.length) {
    const message = "a service cannot have extra volumes";
    problems.push({ path: `${path}.extra_volumes`, code: "unsupported", message });
  }
  for (const [index, network] of (opts.extra_networks ?? []).entries()) {
    if (network.driver_opts === undefined) continue;
    const message = "a service's networks cannot have driver options";
    const at = `${path}.extra_networks[${index}].driver_opts`;
    problems.push({ path: at, code: "unsupported", message });
  }
  return problems;
}
