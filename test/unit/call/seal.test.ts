import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { Sealer, SealKind } from '../../../server/call/seal.ts';

const SECRET = randomBytes(32);
const schema = z.object({ callId: z.string(), items: z.array(z.string()) });
const VALUE = { callId: 'call_1', items: ['What is the capital of Norway?', 'Oslo.'] };
const LIMITS = { schema, maxAgeSeconds: 3600, maxOctets: 10_000 };

describe('Sealer', () => {
  it('any backend with the key opens what another one sealed', async () => {
    const sealed = await new Sealer(SECRET).seal(SealKind.CHECKPOINT, 'anna', VALUE);
    const opened = await new Sealer(SECRET).open(SealKind.CHECKPOINT, sealed, 'anna', LIMITS);
    expect(opened).toEqual({ ok: true, value: VALUE });
  });

  it('shows nothing of what is inside, and never the same text twice', async () => {
    const sealer = new Sealer(SECRET);
    const [a, b] = [
      await sealer.seal(SealKind.CHECKPOINT, 'anna', VALUE),
      await sealer.seal(SealKind.CHECKPOINT, 'anna', VALUE),
    ];
    expect(a).not.toBe(b);
    const readable = a.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    expect(JSON.parse(readable[0]!)).toEqual({ alg: 'dir', enc: 'A256GCM', typ: 'parley-checkpoint' });
    for (const part of readable)
      for (const word of ['Norway', 'Oslo', 'anna', 'call_1']) expect(part).not.toContain(word);
  });

  it('refuses by name what is old, of another caller, of another kind, of another cluster or too large', async () => {
    let now = 1e12;
    const sealer = new Sealer(SECRET, () => now);
    const sealed = await sealer.seal(SealKind.TICKET, 'anna', VALUE);
    const open = (kind: SealKind, text: string, subject: string, by = sealer) =>
      by.open(kind, text, subject, LIMITS);
    expect(await open(SealKind.TICKET, sealed, 'anna')).toMatchObject({ ok: true });
    expect(await open(SealKind.TICKET, sealed, 'bert')).toEqual({ ok: false, why: 'foreign' });
    expect(await open(SealKind.CHECKPOINT, sealed, 'anna')).toEqual({ ok: false, why: 'forged' });
    expect(await open(SealKind.TICKET, sealed, 'anna', new Sealer(randomBytes(32)))).toEqual({
      ok: false,
      why: 'forged',
    });
    expect(await open(SealKind.TICKET, sealed + 'A'.repeat(10_000), 'anna')).toEqual({
      ok: false,
      why: 'too-large',
    });
    now += 3_601_000;
    expect(await open(SealKind.TICKET, sealed, 'anna')).toEqual({ ok: false, why: 'expired' });
    now -= 3_601_000 + 61_000;
    expect(await open(SealKind.TICKET, sealed, 'anna')).toEqual({ ok: false, why: 'expired' });
    now = 1e12;
    const other = await sealer.seal(SealKind.TICKET, 'anna', { callId: 7 });
    expect(await open(SealKind.TICKET, other, 'anna')).toEqual({ ok: false, why: 'unreadable' });
  });

  it('accepts none of 10 000 forged, altered and foreign texts, and never throws', async () => {
    const sealer = new Sealer(SECRET);
    const other = new Sealer(randomBytes(32));
    const sealed = await sealer.seal(SealKind.TICKET, 'anna', VALUE);
    const foreign = await other.seal(SealKind.TICKET, 'anna', VALUE);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 10_000; i++) {
      const at = i % (sealed.length - 1);
      const flipped = sealed[at] === 'A' ? 'B' : 'A';
      const texts = [
        sealed.slice(0, at) + flipped + sealed.slice(at + 1),
        sealed.slice(0, at),
        foreign,
        randomBytes(i % 200).toString('base64url'),
        sealed.split('.').reverse().join('.'),
      ];
      const text = texts[i % texts.length]!;
      const opened = await sealer.open(SealKind.TICKET, text, 'anna', LIMITS);
      // The last character of a part may hold bits that no octet uses: another spelling of the same seal.
      if (opened.ok) expect(sameOctets(text, sealed)).toBe(true);
      else counts[opened.why] = (counts[opened.why] ?? 0) + 1;
    }
    expect(counts.forged).toBeGreaterThan(9_900);
  });
});

function sameOctets(a: string, b: string): boolean {
  const octets = (text: string) =>
    text.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'));
  return octets(a).join('.') === octets(b).join('.');
}
