import { describe, expect, test } from 'vitest';
import { BackendHealth } from '../../../lb/health.ts';
import {
  encodeVersionNegotiation,
  HeaderForm,
  isReservedVersion,
  PacketHead,
} from '../../../proto/invariants/index.ts';

const rules = { intervalMs: 1, silentAfter: 3, deadAfter: 8 };
const config = { configRotation: 0, serverIdLength: 2, nonceLength: 8, firstOctetEncodesLength: true };

function random(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (length * 7 + i) & 0xff);
}

function answerTo(probe: Uint8Array): Uint8Array {
  const head = new PacketHead();
  head.parse(probe);
  return encodeVersionNegotiation({
    destinationConnectionId: probe.subarray(head.scidOffset, head.end),
    sourceConnectionId: probe.subarray(head.dcidOffset, head.dcidOffset + head.dcidLength),
    versions: [1],
  });
}

const make = () => new BackendHealth(rules, config, random);

describe('the health of a backend', () => {
  test('is taken for good until probes say otherwise, so that a forwarder that restarts serves at once', () => {
    expect(make().state).toBe('taking new');
  });

  test('is not trusted before its first answer when it joins others, and is not dead for that', () => {
    const health = new BackendHealth(rules, config, random, false);
    expect(health.state).toBe('silent');
    const [probe] = health.nextProbes();
    expect(health.state).toBe('silent');
    expect(health.answered(answerTo(probe!))).toBe(true);
    expect(health.state).toBe('taking new');
  });

  test('stays good while probes of a reserved version are answered', () => {
    const health = make();
    for (let i = 0; i < 20; i++) {
      const [probe, ...others] = health.nextProbes();
      const head = new PacketHead();
      expect(head.parse(probe!)).toBe(HeaderForm.long);
      expect(isReservedVersion(head.version)).toBe(true);
      expect(others).toEqual([]);
      expect(health.answered(answerTo(probe!))).toBe(true);
    }
    expect(health.state).toBe('taking new');
  });

  test('is silent after three probes without an answer and dead well past that', () => {
    const health = make();
    const states = Array.from({ length: 10 }, () => {
      health.nextProbes();
      return health.state;
    });
    const good = Array.from({ length: 3 }, () => 'taking new');
    expect(states).toEqual([...good, ...Array.from({ length: 5 }, () => 'silent'), 'dead', 'dead']);
  });

  test('is never dead while the backend sends anything, as one that drains does', () => {
    const health = make();
    for (let i = 0; i < 50; i++) {
      health.nextProbes();
      health.heard();
    }
    expect(health.state).toBe('silent');
  });

  test('a silent backend is also sent a short header packet of a CID that no connection has', () => {
    const health = make();
    for (let i = 0; i < 3; i++) expect(health.nextProbes()).toHaveLength(1);
    const [, life] = health.nextProbes();
    expect(life![0]! & 0xc0).toBe(0x40);
    expect(life![1]).toBe((0b111 << 5) | 10);
  });

  test('is dead by the next probe when its host says that the port is closed, and nothing came since', () => {
    const health = make();
    health.nextProbes();
    health.refused();
    expect(health.state).toBe('taking new');
    health.nextProbes();
    expect(health.state).toBe('dead');
    health.refused();
    health.heard();
    expect(health.state).not.toBe('dead');
    health.nextProbes();
    expect(health.state).not.toBe('dead');
  });

  test('is not dead for a refusal that the backend itself contradicts, be it forged or of a port that opened since', () => {
    const health = make();
    for (let i = 0; i < 20; i++) {
      const [probe] = health.nextProbes();
      health.refused();
      health.answered(answerTo(probe!));
      expect(health.state).toBe('taking new');
    }
  });

  test('comes back with the first answer', () => {
    const health = make();
    let probe = new Uint8Array();
    for (let i = 0; i < 12; i++) probe = health.nextProbes()[0] as Uint8Array<ArrayBuffer>;
    expect(health.state).toBe('dead');
    health.answered(answerTo(probe));
    expect(health.state).toBe('taking new');
  });

  test('an answer that does not carry our CID is none', () => {
    const health = make();
    const [probe] = health.nextProbes();
    const answer = answerTo(probe!);
    answer[6]! ^= 1;
    expect(health.answered(answer)).toBe(false);
    expect(health.answered(probe!)).toBe(false);
    expect(health.answered(new Uint8Array())).toBe(false);
  });
});
