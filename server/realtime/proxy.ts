import { HttpsProxyAgent } from 'https-proxy-agent';
import { getProxyForUrl } from 'proxy-from-env';
import { DialConfigurationError } from './ends.ts';

/** A proxy that the upstream is reached through. */
export interface ProxyRoute {
  readonly agent: HttpsProxyAgent<string>;
  /** `host:port`, without credentials. */
  readonly name: string;
  /** User name and password, which must not leave this machine in a message. */
  readonly secrets: readonly string[];
}

const LOOPBACK = /^(?:localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i;
const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'];

/**
 * The proxy that `https_proxy`, `all_proxy` and `no_proxy` (small or capital letters) name for an HTTPS URL; undefined when
 * there is none. A host on loopback is never asked for through a proxy, which would look for it on its own machine. Throws
 * `DialConfigurationError` for a proxy of another kind than HTTP.
 */
export function proxyFor(url: string): ProxyRoute | undefined {
  const { hostname } = new URL(url);
  if (LOOPBACK.test(hostname)) return undefined;
  const found = getProxyForUrl(url);
  if (found === '') return undefined;
  // Without a scheme a proxy is spoken to in plain HTTP, as curl does; the library takes the scheme of the target.
  const written = VARIABLES.map((name) => process.env[name]).find(
    (value) => value !== undefined && value !== '',
  );
  const text = written?.includes('://') === false ? `http://${written}` : found;
  if (!URL.canParse(text))
    throw new DialConfigurationError('https_proxy is not a URL like http://proxy.example:3128');
  const proxy = new URL(text);
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw new DialConfigurationError(
      `https_proxy names a proxy of the kind ${proxy.protocol.slice(0, -1)}: only http and https are known`,
    );
  }
  return {
    agent: new HttpsProxyAgent(proxy.href),
    name: proxy.host,
    secrets: [proxy.username, proxy.password].flatMap((secret) => [secret, decode(secret)]),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
