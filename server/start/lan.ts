import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { renderUnicodeCompact } from 'uqr';
import { StartupError } from '../../net/startup.ts';

/** Interfaces of containers and virtual machines on this machine: no phone reaches it by their addresses. */
const VIRTUAL = /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|tun|tap|wg|utun|zt|tailscale)/;
/** Addresses that a machine gives itself when no router gave it one (RFC 3927). */
const LINK_LOCAL = /^169\.254\./;

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * The IPv4 addresses of this machine that others in its network may reach, the likeliest first. Throws `StartupError` when
 * there is none.
 */
export function lanAddresses(
  chosen: string | undefined,
  interfaces: Interfaces = networkInterfaces(),
): readonly string[] {
  const all = Object.entries(interfaces).flatMap(([name, list]) =>
    (list ?? []).filter(({ family }) => family === 'IPv4').map((info) => ({ name, ...info })),
  );
  if (chosen !== undefined) {
    if (all.some(({ address }) => address === chosen)) return [chosen];
    const has = all.map(({ address }) => address).join(', ');
    throw new StartupError(`--lan-address ${chosen} is no address of this machine; it has ${has || 'none'}.`);
  }
  const found = all
    .filter(({ internal, address }) => !internal && !LINK_LOCAL.test(address))
    .sort((a, b) => Number(VIRTUAL.test(a.name)) - Number(VIRTUAL.test(b.name)))
    .map(({ address }) => address);
  if (found.length === 0)
    throw new StartupError(
      '--lan: this machine has no IPv4 address in a network; join one, or leave --lan out.',
    );
  return found;
}

/** What is printed for the people who open the page on a phone. */
export function lanInstructions(urls: readonly string[], trusted: boolean): string {
  const [first, ...others] = urls;
  const warning = trusted
    ? ''
    : `The phone warns of the certificate, since this machine made it itself: it is for this network only. Choose
"Advanced" and "Proceed" (Android), or "Show Details" and "visit this website" (iPhone); without https
no phone gives a page its microphone. Calls check the certificate by its hash.
`;
  const more = others.length > 0 ? `If that does not load, try ${others.join(' or ')}\n` : '';
  return `
On a phone in the same network: ${first}
${renderUnicodeCompact(first!, { border: 2 })}
${more}${warning}A firewall on this machine must let in the page's port (tcp) and the forwarder's (udp).
`;
}
