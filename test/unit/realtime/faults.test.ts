import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { int16ToOctets } from '../../../proto/voice/index.ts';
import { parseFaults, startRealtimeService } from '../../../server/realtime/local/index.ts';
import { joinSamples, tone, until } from '../../support/realtime.ts';
import { pem, UpstreamPeers } from '../../support/upstream-peer.ts';

const peers = new UpstreamPeers();
const services: { close(): Promise<void> }[] = [];
afterEach(async () => {
  peers.close();
  await Promise.all(services.splice(0).map((service) => service.close()));
});

/** An upstream that dials a service with these faults. */
async function dial(faults: string[], pingIntervalMs?: number) {
  const logger = pino({ level: 'silent' });
  const service = await startRealtimeService({ ...pem, logger, speed: 20, faults: parseFaults(faults) });
  services.push(service);
  const made = peers.dial({ url: '' }, { kind: 'local', baseURL: service.url, pingIntervalMs });
  return { ...made, events: peers.events(made), end: () => peers.failed(made) };
}

function say({ upstream }: Awaited<ReturnType<typeof dial>>): void {
  const octets = int16ToOctets(joinSamples(tone(900), tone(800, 0)));
  upstream.send({ type: 'input_audio_buffer.append', audio: Buffer.from(octets).toString('base64') });
}

describe('faults of the local service, as a backend sees them', () => {
  test('refuse', async () => {
    expect(await (await dial(['refuse=429:insufficient_quota'])).end()).toMatchObject({
      code: 'upstream_refused',
      message: 'The Realtime API refused the backend (HTTP 429): Refused on command (insufficient_quota).',
      details: { status: 429, errorCode: 'insufficient_quota', requestId: expect.stringMatching(/^req_/) },
    });
    expect(await (await dial(['refuse=503'])).end()).toMatchObject({ code: 'upstream_unreachable' });
  });

  test('end', async () => {
    expect(await (await dial(['end=0.05'])).end()).toMatchObject({
      code: 'upstream_time_limit',
      closeCode: 1001,
      message:
        'The Realtime API ended the call at its time limit (code 1001): Your session hit the maximum duration of 60 minutes.',
    });
  });

  test('cut', async () => {
    expect(await (await dial(['cut=0.05'])).end()).toMatchObject({
      code: 'upstream_closed',
      closeCode: 1006,
    });
  });

  test('cut-answer', async () => {
    const call = await dial(['cut-answer=3']);
    await until(() => call.events.length > 0, 'the session');
    say(call);
    expect(await call.end()).toMatchObject({ code: 'upstream_closed', closeCode: 1006 });
    expect(call.events.filter(({ type }) => type === 'response.output_audio.delta')).toHaveLength(3);
    expect(call.events.some(({ type }) => type === 'response.done')).toBe(false);
  });

  test('error', async () => {
    const call = await dial(['error=0.05:insufficient_quota', 'slow=20']);
    expect(await call.end()).toMatchObject({
      code: 'upstream_refused',
      closeCode: 1000,
      details: { errorCode: 'insufficient_quota', errorType: 'invalid_request_error' },
    });
    expect(call.events.map(({ type }) => type)).toEqual(['session.created', 'error']);
  });

  test('stall', async () => {
    const call = await dial(['stall=0.05'], 50);
    expect(await call.end()).toMatchObject({
      code: 'upstream_closed',
      message: expect.stringContaining('it answered no ping'),
    });
  });

  test('slow', async () => {
    const call = await dial(['slow=300']);
    await until(() => call.upstream.isOpen, 'open');
    const opened = performance.now();
    await until(() => call.events.length === 1, 'session.created');
    expect(performance.now() - opened).toBeGreaterThan(200);
  });
});

describe('the flag', () => {
  test('reads all of them', () => {
    const all = ['refuse=403', 'end=1', 'cut=2', 'cut-answer=3', 'error=4:x_y', 'stall=5', 'slow=6'];
    expect(parseFaults(all)).toEqual({
      refuse: { status: 403, code: 'refused' },
      endAfterMs: 1000,
      cutAfterMs: 2000,
      cutAfterDeltas: 3,
      errorAfter: { ms: 4000, code: 'x_y' },
      stallAfterMs: 5000,
      slowMs: 6,
    });
  });

  test.each([
    ['end', /there is no such fault/],
    ['ends=1', /there is no such fault/],
    ['end=', /is not a number from 0/],
    ['end=-1', /-1 is not a number from 0/],
    ['end=1:code', /takes no code/],
    ['refuse=200', /200 is no HTTP status from 300 to 599/],
    ['error=1:No Code', /No Code is not an error code/],
  ])('refuses %s in a sentence', (value, sentence) => {
    expect(() => parseFaults([value])).toThrow(sentence);
  });

  test('--help documents it, a wrong one ends the start without a stack', { timeout: 30_000 }, async () => {
    const run = (...flags: string[]) =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', 'server/realtime/local/main.ts', ...flags]);
    expect((await run('--help')).stdout).toMatch(/--fault NAME=VALUE[\s\S]*refuse=[\s\S]*slow=MS/);
    await expect(
      run('--cert', 'package.json', '--key', 'package.json', '--fault', 'x=1'),
    ).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^--fault x=1: there is no such fault\.\n(?![\s\S]*at )/),
    });
  });
});
