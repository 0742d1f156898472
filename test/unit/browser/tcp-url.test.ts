import { afterEach, expect, it, vi } from 'vitest';
import { overTcp } from '../../../browser/carriers/index.ts';
import { dialTcp } from '../../../browser/carriers/tcp.ts';

// As browsers get it: Node gets another face of it.
vi.mock(
  '@fails-components/webtransport',
  () =>
    import(
      /* @vite-ignore */ new URL(
        '../../../node_modules/@fails-components/webtransport/lib/index.browser.js',
        import.meta.url,
      ).href
    ),
);
afterEach(() => vi.unstubAllGlobals());

const URL_OF_CALL = 'https://01.voice.example:4433/voice?resume=1&token=t';

it.each([
  [undefined, URL_OF_CALL],
  ['https://tcp.example', 'https://tcp.example/voice?resume=1&token=t'],
  ['https://tcp.example:8443', 'https://tcp.example:8443/voice?resume=1&token=t'],
  ['https://[2001:db8::1]', 'https://[2001:db8::1]/voice?resume=1&token=t'],
  ['https://[2001:db8::1]:8443/ignored', 'https://[2001:db8::1]:8443/voice?resume=1&token=t'],
])(
  'a call whose TCP is taken at %s is dialled there, with the path and query of its URL',
  (tcpUrl, expected) => {
    expect(overTcp(URL_OF_CALL, tcpUrl)).toBe(expected);
  },
);

it.each([
  ['https://voice.example:4433/voice?token=t', 'wss://voice.example:4433/voice?token=t'],
  ['https://voice.example/', 'wss://voice.example:443'],
  ['https://voice.example/?token=t', 'wss://voice.example:443/?token=t'],
])('%s is dialled as %s', async (url, expected) => {
  const dialled: string[] = [];
  class RefusedSocket {
    constructor(address: string) {
      dialled.push(address);
    }
    addEventListener(type: string, listener: (event: Event) => void): void {
      if (type === 'error') setTimeout(listener, 0, new Event('error'));
    }
  }
  vi.stubGlobal('WebSocket', RefusedSocket);
  await expect(dialTcp(url, new AbortController().signal)).rejects.toThrow();
  expect(dialled).toEqual([expected]);
});
