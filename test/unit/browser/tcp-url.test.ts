import { expect, it } from 'vitest';
import { overTcp } from '../../../browser/dial.ts';

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
