// A list of addresses and ranges (RFC 4632, RFC 4291) that can be asked whether an address is among them.
import { BlockList, isIP } from "node:net";

export class AddressList {
  readonly #list = new BlockList();

  /** IP addresses and CIDR ranges; host names and other texts are passed over. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry);
  }

  /** Also for an IPv4 address in its IPv6 form. */
  has(address: string): boolean {
    const bare = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
    const family = familyOf(bare);
    return family !== undefined && this.#list.check(bare, family);
  }

  #add(entry: string): void {
    const [address = "", bits] = entry.split("/");
    const family = familyOf(address);
    if (!family) return;
    const most = family === "ipv4" ? 32 : 128;
    const prefix = bits === undefined ? most : Number(bits);
    if (!Number.isInteger(prefix) || prefix < 0 || prefix > most) return;
    this.#list.addSubnet(address, prefix, family);
  }
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 4 ? "ipv4" : version === 6 ? "ipv6" : undefined;
}
