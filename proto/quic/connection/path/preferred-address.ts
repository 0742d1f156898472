import { formatIp, IP_OCTETS, parseIp } from '../../../wire/index.ts';
import type { PreferredAddress } from '../../transport-parameters.ts';
import { type Address, sameAddress } from '../../types.ts';
import type { LocalConnectionIds } from '../ids/local-connection-ids.ts';
import type { ConnectionState } from '../state.ts';
import { addPath, beginPath, destinationOf, releaseIds, startValidation, switchTo } from './migration.ts';

const IPV4_OCTETS = 4;

/** Where a server wants its clients to go after the handshake, by family (RFC 9000 §9.6). */
export interface PreferredAddresses {
  readonly ipv4?: Address | undefined;
  readonly ipv6?: Address | undefined;
}

/** The transport parameter, with a CID that nothing else uses. */
export function encodePreferredAddress(
  addresses: PreferredAddresses,
  localIds: LocalConnectionIds,
): PreferredAddress {
  const issued = localIds.issuePreferred();
  const { ipv4, ipv6 } = addresses;
  // An IPv4 address is the end of its mapped form.
  const four = ipv4 && parseIp(ipv4.host)?.subarray(IP_OCTETS - IPV4_OCTETS);
  return {
    ipv4: four ?? new Uint8Array(IPV4_OCTETS),
    ipv4Port: ipv4?.port ?? 0,
    ipv6: (ipv6 && parseIp(ipv6.host)) ?? new Uint8Array(IP_OCTETS),
    ipv6Port: ipv6?.port ?? 0,
    connectionId: issued.connectionId,
    statelessResetToken: localIds.resetToken(issued),
  };
}

/** The server's preferred address of the family that we speak to it; `undefined` when it has none. */
function addressOf(preferred: PreferredAddress, like: Address): Address | undefined {
  if (like.host.includes(':'))
    return preferred.ipv6Port === 0
      ? undefined
      : { host: formatIp(preferred.ipv6), port: preferred.ipv6Port };
  if (preferred.ipv4Port === 0) return undefined;
  return { host: preferred.ipv4.join('.'), port: preferred.ipv4Port };
}

function isLoopback({ host }: Address): boolean {
  const octets = parseIp(host);
  if (octets === undefined) return false;
  return host.includes('.') ? octets[IP_OCTETS - IPV4_OCTETS] === 127 : formatIp(octets) === '::1';
}

/** Client, handshake confirmed: asks the preferred address whether it is there (RFC 9000 §9.6.1). */
export function probePreferredAddress(state: ConnectionState, now: number): void {
  const preferred = state.peerParameters?.preferredAddress;
  if (!state.isClient || preferred === undefined || !state.config.usePreferredAddress) return;
  const { active } = state.paths;
  const remote = addressOf(preferred, active.path.remote);
  // RFC 9000 §21.5.6: a server elsewhere has no business with what listens on our own loopback interface.
  if (remote === undefined || (isLoopback(remote) && !isLoopback(active.path.remote))) return;
  const target = { local: active.path.local, remote };
  if (state.paths.find(target) !== undefined) return;
  const path = addPath(state, target, active.via);
  // RFC 9000 §9.6.1: any CID that no path has seen.
  path.setDestination(state.remoteIds.bind(preferred.connectionId));
  if (path.destination === undefined) {
    state.paths.remove(path);
    return;
  }
  // The server names the address in the handshake that it signed: what goes there is no reflection.
  path.liftLimit();
  path.requireOwnId();
  path.preferred = true;
  startValidation(state, path, now);
}

/** Client: it has moved while the preferred address was asked, which is now asked from where it is (RFC 9000 §9.6.3). */
export function askPreferredAddressAgain(state: ConnectionState, now: number): void {
  const { active, others } = state.paths;
  const asked = others.find(({ preferred }) => preferred);
  if (asked === undefined || sameAddress(asked.path.local, active.path.local)) return;
  state.paths.remove(asked);
  releaseIds(state);
  probePreferredAddress(state, now);
}

/** Client: the preferred address answered, so everything goes there from now on (RFC 9000 §9.6.1). */
export function moveToPreferredAddress(state: ConnectionState, now: number): void {
  const path = state.paths.others.find(({ preferred, validated }) => preferred && validated);
  if (path === undefined) return;
  path.preferred = false;
  const connectionId = destinationOf(state, path);
  if (connectionId === undefined) {
    state.paths.remove(path);
    return;
  }
  const previous = switchTo(state, path, connectionId, now);
  state.atPreferredAddress = true;
  beginPath(state, now);
  // A packet that is no probe tells the server that we have come (RFC 9000 §9.3).
  state.spaces[2].queuePing();
  state.events.push({ type: 'pathChanged', path: path.path, previous: previous.path, validated: true });
  state.observer.pathChanged?.(path.path, previous.path, true, now);
}
