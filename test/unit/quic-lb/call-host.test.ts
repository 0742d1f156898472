import { describe, expect, it } from 'vitest';
import { CallHosts, type ClusterConfig, callHostOf, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { steerTo } from '../../../server/steering.ts';
import { seededRandom } from '../../support/quic-fixtures.ts';

const text = (callHost: unknown) =>
  JSON.stringify({
    quicLb: [
      { configRotation: 1, serverIdLength: 2, key: '11'.repeat(16) },
      { configRotation: 0, serverIdLength: 2, key: '22'.repeat(16) },
    ],
    routingKey: '00'.repeat(32),
    statelessResetKey: '01'.repeat(32),
    backends: [
      { name: 'a', serverId: { 0: 'aaa0', 1: 'aaa1' }, tunnel: '127.0.0.1:5001' },
      { name: 'b', serverId: { 0: 'bbb0', 1: 'bbb1' }, tunnel: '127.0.0.1:5002' },
    ],
    ...(callHost !== undefined && { callHost }),
  });

function cluster(callHost?: string): ClusterConfig {
  const result = parseClusterFile(text(callHost));
  if (!result.ok) throw new Error(result.faults.join('\n'));
  return result.value;
}

describe('the cluster key "callHost"', () => {
  it('gives each backend a name, found by the server ID of any configuration and in any case', () => {
    const config = cluster('voice.example');
    const hosts = new CallHosts(config);
    expect(callHostOf(config, config.backends[0]!.serverId)).toBe('aaa1.voice.example');
    expect(hosts.find('aaa1.voice.example')?.name).toBe('a');
    expect(hosts.find('BBB0.Voice.Example')?.name).toBe('b');
    for (const other of ['voice.example', 'cccc.voice.example', 'aaa1.voice.example.', 'aaa1'])
      expect(hosts.find(other)).toBeUndefined();
  });

  it('absent, no backend has one', () => {
    expect(callHostOf(cluster(), Uint8Array.of(1, 2))).toBeUndefined();
    expect(new CallHosts(cluster()).find('aaa1.undefined')).toBeUndefined();
  });

  it.each(['*.voice.example', 'Voice.example', '127.0.0.1', 'voice..example', '', 'a'.repeat(201), 7])(
    'refuses %s in one sentence that names it',
    (callHost) => {
      const result = parseClusterFile(text(callHost));
      expect(result.ok ? [] : result.faults).toEqual([expect.stringMatching(/^callHost must be /)]);
    },
  );
});

describe('steering to a backend', () => {
  const config = cluster('voice.example');
  const { backends, quicLb } = config;
  let hosts = new CallHosts(config);
  const { ownerOf } = steerTo(
    () => quicLb[0]!,
    backends[0]!.name,
    () => hosts,
    seededRandom(1),
  );

  it('makes CIDs of the others, never twice the same, and none of its own names', () => {
    const owner = ownerOf('bbb0.voice.example')!;
    expect(owner).toBe(ownerOf('bbb1.voice.example'));
    const made = new Set(Array.from({ length: 100 }, () => owner.generate().join()));
    expect(made.size).toBe(100);
    expect(ownerOf('aaa0.voice.example')).toBeUndefined();
    expect(ownerOf('localhost')).toBeUndefined();
  });

  it('ends when the backend leaves the cluster', () => {
    hosts = new CallHosts({ ...config, backends: [backends[0]!] });
    expect(ownerOf('bbb1.voice.example')).toBeUndefined();
  });
});
