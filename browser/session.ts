import { fromHex } from '../proto/wire/octets.ts';
import { CallError, timeoutError, unreachableError } from './errors.ts';
import { within } from './within.ts';

/** Octets of a SHA-256 hash. */
const HASH_OCTETS = 32;

/** Says in a sentence why this browser, on this page, cannot make a call; nothing when it can. */
export function unsupported(): CallError | undefined {
  if (!globalThis.isSecureContext) {
    return new CallError(
      'insecure_page',
      'Browsers give microphone and WebTransport only to secure pages.',
      'Open this page over https, or as http://localhost.',
      { retry: false },
    );
  }
  // Without WebTransport a call goes over TCP, by a WebSocket.
  if (typeof WebTransport === 'undefined' && typeof WebSocket === 'undefined') {
    return new CallError(
      'no_webtransport',
      'This browser has no WebTransport, which carries the call.',
      'Use Chrome or Edge 97, Firefox 125, Safari 26.4, or anything newer.',
      { retry: false },
    );
  }
  if (typeof AudioWorkletNode === 'undefined' || navigator.mediaDevices === undefined) {
    return new CallError(
      'audio_failed',
      'This browser gives pages no microphone or no AudioWorklet.',
      'Use a current Chrome, Edge, Firefox or Safari.',
      { retry: false },
    );
  }
  return undefined;
}

/** What is dialled beside the URL that the page was given. */
export interface DialDetails {
  /** Says who calls: in the query. */
  readonly token: string | undefined;
  /** Takes the place of the URL's host name; its port stays. */
  readonly host: string | undefined;
  /** A call that was interrupted goes on: the backend then opens no upstream of its own accord before the hello. */
  readonly resume: boolean;
}

/** Where to dial: the URL, checked, with its details. */
export function sessionUrl(url: string, { token, host, resume }: DialDetails): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw badOption(`"${url}" is not a URL`);
  }
  if (parsed.protocol !== 'https:') throw badOption(`"${url}" does not begin with https://`);
  if (host !== undefined) parsed.hostname = host;
  if (resume) parsed.searchParams.set('resume', '1');
  if (token !== undefined) parsed.searchParams.set('token', token);
  return parsed.href;
}

/** Hex hashes as WebTransport wants them. Colons between octets, as openssl prints them, are allowed. */
function certificateHashes(hashes: readonly string[]): WebTransportHash[] {
  return hashes.map((hash) => {
    const value = fromHex(hash.replaceAll(':', ''));
    if (value?.length !== HASH_OCTETS) {
      throw badOption(`the certificate hash "${hash}" is not 64 hex digits of a SHA-256`);
    }
    return { algorithm: 'sha-256', value: value as BufferSource };
  });
}

/** Dials. Rejects with a `CallError` when the session is refused, unreachable or takes longer than `timeoutMs`. */
export async function openSession(
  url: string,
  hashes: readonly string[] | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<WebTransport> {
  const options: WebTransportOptions = { congestionControl: 'low-latency' };
  // With hashes given, only they count: an empty list would refuse every certificate.
  if (hashes !== undefined && hashes.length > 0) options.serverCertificateHashes = certificateHashes(hashes);
  let transport: WebTransport;
  try {
    transport = new WebTransport(url, options);
  } catch (error) {
    throw unreachableError(url, error, hashes);
  }
  // Reported through `ready` until the session stands, by the call afterwards.
  transport.closed.catch(() => undefined);
  const close = () => transport.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    await within(timeoutMs, transport.ready, () => timeoutError(url, timeoutMs / 1000, 'answer'));
    return transport;
  } catch (error) {
    transport.close();
    throw error instanceof CallError ? error : unreachableError(url, error, hashes);
  } finally {
    signal.removeEventListener('abort', close);
  }
}

function badOption(message: string): CallError {
  return new CallError('bad_options', `The page is not set up correctly: ${message}.`, 'Tell its operator.', {
    retry: false,
  });
}
