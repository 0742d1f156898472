import { describe, expect, it } from 'vitest';
import {
  advanceRotation,
  type ClusterConfig,
  parseClusterFile,
  reuseFaults,
  rotationPhase,
} from '../../../proto/quic-lb/index.ts';

const KEYS = ['00112233445566778899aabbccddeeff', 'ffeeddccbbaa99887766554433221100'] as const;
const file = (quicLb: object[], serverId: unknown = '0001'): Record<string, unknown> => ({
  quicLb,
  routingKey: '11'.repeat(32),
  statelessResetKey: '22'.repeat(32),
  backends: [{ name: 'b', serverId, tunnel: '127.0.0.1:5001' }],
});
const entry = (configRotation: number, key: string) => ({
  configRotation,
  serverIdLength: 2,
  nonceLength: 8,
  key,
});
const config = (content: object): ClusterConfig => {
  const result = parseClusterFile(JSON.stringify(content));
  if (!result.ok) throw new Error(result.faults.join());
  return result.value;
};

describe('a rotation of QUIC-LB configurations', () => {
  it('goes from one file to the next in three steps, each of which is sound and follows the last', () => {
    let now = file([entry(6, KEYS[0])], { 6: '0001' });
    const seen: unknown[] = [rotationPhase(config(now).quicLb)];
    for (let step = 0; step < 3; step++) {
      const next = advanceRotation(now, () => KEYS[1]);
      if (typeof next === 'string') throw new Error(next);
      expect(reuseFaults(config(now), config(next.file))).toEqual([]);
      now = next.file;
      seen.push(rotationPhase(config(now).quicLb));
    }
    expect(seen).toEqual([
      { phase: 'settled', issued: 6 },
      { phase: 'announced', issued: 6, next: 0 },
      { phase: 'moving', issued: 0, last: 6 },
      { phase: 'settled', issued: 0 },
    ]);
    expect(now.quicLb).toEqual([entry(0, KEYS[1])]);
  });

  it('is not guessed at where the entries are not one rotation and the next', () => {
    const odd = file([entry(0, KEYS[0]), entry(3, KEYS[1])]);
    expect(rotationPhase(config(odd).quicLb)).toEqual({ phase: 'unclear', issued: 0 });
    expect(advanceRotation(odd, () => KEYS[1])).toMatch(/^quicLb holds entries that are not one rotation/);
  });

  it('that reuses a codepoint with another key, or another layout, is refused in one sentence', () => {
    const before = config(file([entry(0, KEYS[0])]));
    const sentence = [
      'Config rotation 0 is in use with another key or layout; give the new entry of quicLb a configRotation that is free.',
    ];
    expect(reuseFaults(before, config(file([entry(0, KEYS[1])])))).toEqual(sentence);
    expect(reuseFaults(before, config(file([{ ...entry(0, KEYS[0]), nonceLength: 9 }])))).toEqual(sentence);
    expect(reuseFaults(before, config(file([entry(1, KEYS[1]), entry(0, KEYS[0])])))).toEqual([]);
  });
});
