import { formatAddress } from '../proto/wire/index.ts';

/** Why a port cannot be listened on, as one sentence that says what to do. `choose` names the flag or key that sets it. */
export function listenFault(
  what: string,
  protocol: 'tcp' | 'udp',
  address: { readonly host: string; readonly port: number },
  error: Error,
  choose: string,
): string {
  const { code } = error as NodeJS.ErrnoException;
  const at = `${what}: ${protocol} ${formatAddress(address)}`;
  if (code === 'EADDRINUSE') {
    return `${at} is in use by another process; stop that process or choose another port with ${choose}.`;
  }
  if (code === 'EACCES')
    return `${at} may not be opened by this user; choose a port above 1023 with ${choose}.`;
  if (code === 'EADDRNOTAVAIL') return `${at} is no address of this machine; choose another with ${choose}.`;
  return `${at} cannot be opened: ${error.message}; choose another with ${choose}.`;
}
