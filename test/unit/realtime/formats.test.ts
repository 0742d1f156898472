import { describe, expect, test } from 'vitest';
import { parseBackendConfig } from '../../../server/config.ts';
import { formatProblem } from '../../../server/realtime/index.ts';

const pcm = { type: 'audio/pcm', rate: 24_000 };

function input(format: unknown) {
  return { session: { type: 'realtime', audio: { input: { format } } } };
}
function output(format: unknown) {
  return { session: { type: 'realtime', audio: { output: { format } } } };
}

describe('formats that a call carries', () => {
  test.each([
    ['none', { type: 'session.update', session: { type: 'realtime' } }],
    ['PCM of 24 kHz', { ...input(pcm), ...output(pcm) }],
    ['PCM without a rate', output({ type: 'audio/pcm' })],
    ['null', output(null)],
    ['the beta’s name', { session: { input_audio_format: 'pcm16', output_audio_format: 'pcm16' } }],
    ['a response of its own', { response: { audio: { output: { format: pcm, voice: 'x' } } } }],
    ['fields that are no objects', { session: 7, response: 'x' }],
    ['audio that is no object', { session: { audio: [] }, response: { audio: 'audio/pcmu' } }],
  ])('%s', (_, event) => expect(formatProblem(event)).toBeUndefined());
});

describe('formats that a call does not carry', () => {
  test.each([
    [output({ type: 'audio/pcmu' }), 'session.audio.output.format is "audio/pcmu"'],
    [input({ type: 'audio/pcma' }), 'session.audio.input.format is "audio/pcma"'],
    [input({ type: 'audio/pcm', rate: 16_000 }), 'session.audio.input.format.rate is "16000"'],
    [input({ rate: 8000 }), 'session.audio.input.format.rate is "8000"'],
    [output('g711_ulaw'), 'session.audio.output.format is "g711_ulaw"'],
    [output(7), 'session.audio.output.format is "7"'],
    [output({ type: { deep: 1 } }), 'session.audio.output.format is "{deep:1}"'],
    [{ session: { input_audio_format: 'g711_ulaw' } }, 'session.input_audio_format is "g711_ulaw"'],
    [{ session: { output_audio_format: 'g711_alaw' } }, 'session.output_audio_format is "g711_alaw"'],
    [
      { response: { audio: { output: { format: { type: 'audio/pcmu' } } } } },
      'response.audio.output.format is "audio/pcmu"',
    ],
    [{ response: { output_audio_format: 'g711_ulaw' } }, 'response.output_audio_format is "g711_ulaw"'],
  ])('%j', (event, start) => {
    expect(formatProblem(event)).toBe(
      `${start}: a call carries audio/pcm of 24000 Hz, and nothing else; leave the format out.`,
    );
  });

  test('what is quoted is bounded', () => {
    expect(formatProblem(output({ type: 'x'.repeat(10_000) }))!.length).toBeLessThan(250);
  });
});

describe('the backend’s file', () => {
  const file = { name: 'b', certificate: 'c', key: 'k', upstream: { kind: 'openai' } };

  test('stops the start with one sentence when its session has another format', () => {
    const session = { type: 'realtime', audio: { output: { format: { type: 'audio/pcmu' } } } };
    expect(() => parseBackendConfig({ ...file, session }, 'b.json')).toThrow(
      'b.json: "session": session.audio.output.format is "audio/pcmu": a call carries audio/pcm of 24000 Hz, and nothing else; leave the format out.',
    );
  });

  test.each([
    [{ azure: { apiVersion: 'x' } }, '"upstream": azure needs baseUrl, the endpoint of the resource.'],
    [
      { baseUrl: 'https://r.openai.azure.com/openai', azure: {} },
      '"upstream": azure needs an apiVersion for the path /openai; without one, baseUrl is https://RESOURCE.openai.azure.com/openai/v1.',
    ],
    [{ kind: 'azure' }, '"upstream.kind": must be "openai", "local" or "custom".'],
    [{ baseUrl: 'http://r.example/v1' }, '"upstream.baseUrl": must be a URL that begins with https://.'],
  ])('stops the start for the upstream %j', (upstream, sentence) => {
    const config = { ...file, upstream: { kind: 'openai', ...upstream } };
    expect(() => parseBackendConfig(config, 'b.json')).toThrow(`b.json: ${sentence}`);
  });

  test('takes an Azure file with a version, and one without', () => {
    for (const azure of [{ apiVersion: '2025-08-28' }, {}]) {
      const upstream = { kind: 'openai', model: 'D', baseUrl: 'https://r.openai.azure.com/openai/v1', azure };
      expect(parseBackendConfig({ ...file, upstream }, 'b.json').upstream).toEqual(upstream);
    }
  });
});
