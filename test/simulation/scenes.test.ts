import { describe, expect, it } from 'vitest';
import { PERFECT } from './conditions.ts';
import { CLUSTER_ADDRESS } from './network.ts';
import { play, scenePlan, VOICE_CALL, voiceCall } from './scene.ts';
import type { SessionPlan, WebPlan } from './workloads/plan.ts';
import { World } from './world.ts';

const ENDED_WELL = {
  client: { kind: 'application', by: 'local' },
  server: { kind: 'application', by: 'peer' },
};

/** Where the first call went, once it is connected. */
function ownerOf(world: World): number {
  world.runUntil(() => world.calls[0]?.backendLife !== undefined, 1000);
  const owner = world.backends.findIndex(({ life }) => life === world.calls[0]?.backendLife);
  expect(owner).toBeGreaterThanOrEqual(0);
  return owner;
}

/** Every octet of every stream was checked on the way: a call that settled is whole. */
describe('a call, octet for octet,', () => {
  it('outlives a forwarder that crashes and starts again with no memory', () => {
    const world = play({}, [
      { atMs: 400, fault: { kind: 'forwarder crashes', forwarder: 0, forMs: 300 } },
      { atMs: 1200, fault: { kind: 'forwarder crashes', forwarder: 0, forMs: 300 } },
    ]);
    expect(world.calls).toHaveLength(1);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBeUndefined();
  });

  it('goes on through another forwarder, and that is no migration', () => {
    const world = play({ forwarders: 2 }, [
      { atMs: 300, fault: { kind: 'another forwarder', client: 0, forwarder: 0 } },
      { atMs: 600, fault: { kind: 'another forwarder', client: 0, forwarder: 1 } },
      { atMs: 900, fault: { kind: 'another forwarder', client: 0, forwarder: 0 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('forwarderChanged')).toBeGreaterThanOrEqual(2);
    expect(world.met.get('path changed')).toBeUndefined();
  });

  it('outlives the drain of its backend, while new calls go elsewhere', () => {
    const world = new World(scenePlan({}));
    const owner = ownerOf(world);
    world.backends[owner]!.drain(true);
    world.runUntil(() => false, 1500);
    for (let i = 0; i < 5; i++) world.dial(voiceCall(), 0);
    world.run();
    const others = world.calls.slice(1).map(({ backendLife }) => backendLife);
    expect(new Set(others)).toEqual(new Set([world.backends[1 - owner]!.life]));
    for (const call of world.calls) expect(call.endings).toMatchObject(ENDED_WELL);
  });

  it('ends by a Stateless Reset soon after its backend is known to be dead, and the next call is whole', () => {
    const world = new World(scenePlan({ calls: [voiceCall(0, { redials: 1 })] }));
    const owner = ownerOf(world);
    world.circumstances.backendLost = true;
    world.runUntil(() => false, 400);
    world.routing.noteTrouble(world.backends[owner]!.name, Number.POSITIVE_INFINITY);
    world.backends[owner]!.crash();
    world.run();
    const [lost, next] = world.calls;
    expect(lost!.endings.client).toEqual({ kind: 'stateless-reset' });
    // Six probes of 250 ms go unanswered before it is called dead; then the next packet is answered at once.
    expect(lost!.endedAt.client! - 400).toBeLessThan(7 * 250 + 100);
    expect(next!.endings).toMatchObject(ENDED_WELL);
    expect(next!.backendLife).toBe(world.backends[1 - owner]!.life);
  });

  it('ends by a Stateless Reset one round trip after its backend has started again', () => {
    const world = new World(scenePlan({ backends: 1, calls: [voiceCall(0, { redials: 1 })] }));
    ownerOf(world);
    world.circumstances.backendLost = true;
    world.runUntil(() => false, 400);
    world.backends[0]!.crash();
    world.backends[0]!.start();
    world.run();
    expect(world.calls[0]!.endings.client).toEqual({ kind: 'stateless-reset' });
    // The next word is at most 20 ms away.
    expect(world.calls[0]!.endedAt.client! - 400).toBeLessThan(20 + 2 * 10.5 + 1);
    expect(world.calls[1]!.endings).toMatchObject(ENDED_WELL);
  });

  it.each([
    ['another port', false],
    ['another address', true],
  ])('outlives a NAT that gives it %s', (_, newHost) => {
    const world = play({}, [
      { atMs: 300, fault: { kind: 'NAT rebinds', client: 0, newHost } },
      { atMs: 1100, fault: { kind: 'NAT rebinds', client: 0, newHost } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBe(2);
    expect(world.met.get('path validated')).toBe(2);
  });

  it.each([0.01, 0.05, 0.1, 0.2])('is whole at a loss of %f each way', (loss) => {
    const rough = { ...PERFECT, delayMs: 20, loss };
    // A seed whose CONNECTION_CLOSE arrives: it is sent once, and its loss is the idle timeout's to notice.
    const world = play({ seed: 2, clients: [{ up: rough, down: rough }] });
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.network.counts.lost).toBeGreaterThan(0);
  });

  it('outlives a second without any network', () => {
    const world = play({}, [
      { atMs: 700, fault: { kind: 'access', client: 0, way: 'both', change: { cut: true }, forMs: 1000 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
  });

  it('follows its backend from one QUIC-LB configuration to the other', () => {
    const world = play({ backends: 1 }, [
      { atMs: 500, fault: { kind: 'backend changes CIDs', backend: 0 } },
      { atMs: 1000, fault: { kind: 'backend changes CIDs', backend: 0 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBeUndefined();
  });

  it.each(['timers', 'packets'] as const)(
    'outlives five seconds in which its backend gets no time, %s first',
    (first) => {
      const world = play({ backends: 1 }, [
        { atMs: 700, fault: { kind: 'stands still', host: 'backend', index: 0, forMs: 5000, first } },
      ]);
      expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    },
  );

  it('outlives a NAT that rebinds in the moment in which its forwarder crashes', () => {
    const world = play({}, [
      { atMs: 700, fault: { kind: 'forwarder crashes', forwarder: 0, forMs: 300 } },
      { atMs: 700, fault: { kind: 'NAT rebinds', client: 0, newHost: true } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path validated')).toBe(1);
  });

  it('outlives a move of its client in the moment in which the NAT rebinds', () => {
    const world = play({}, [
      { atMs: 700, fault: { kind: 'client migrates', client: 0 } },
      { atMs: 700, fault: { kind: 'NAT rebinds', client: 0, newHost: true } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('migration')).toBe(1);
  });

  it('outlives an attacker who copies its packets and is faster, and never leaves for that address', () => {
    const world = play({}, [
      { atMs: 300, fault: { kind: 'copied from elsewhere', client: 0, share: 1, forMs: 1000 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBeGreaterThan(0);
  });

  it('outlives large packets that begin to vanish', () => {
    const change = { mtu: 1200 };
    const world = play({}, [
      { atMs: 700, fault: { kind: 'access', client: 0, way: 'both', change, forMs: 10_000 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
  });

  it.each(['reachable', 'unreachable'] as const)('goes on where the preferred address is %s', (preferred) => {
    const world = new World(scenePlan({ preferred }));
    const owner = ownerOf(world);
    world.runUntil(() => false, 1500);
    const { remote } = world.calls[0]!.connection('client')!.path;
    expect(remote).toEqual(preferred === 'reachable' ? world.backends[owner]!.public : CLUSTER_ADDRESS);
    world.run();
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
  });

  it('is resumed at a backend that never saw it, when the key of the tickets has changed', () => {
    const world = new World(scenePlan({ ticketSeconds: 3, calls: [voiceCall()] }));
    const owner = ownerOf(world);
    world.backends[owner]!.drain(true);
    world.runUntil(() => false, 1500);
    const next = world.dial(voiceCall(), 0);
    world.run();
    expect(world.met.get('resumed')).toBe(1);
    expect(next.backendLife).toBe(world.backends[1 - owner]!.life);
    for (const call of world.calls) expect(call.endings).toMatchObject(ENDED_WELL);
  });

  it('follows a new configuration that its forwarders take up one after the other', () => {
    const rollOut = { forwardersAtMs: [300, 900], backendsAtMs: [901, 901] };
    const world = play({ forwarders: 2, rollOut }, [
      { atMs: 600, fault: { kind: 'another forwarder', client: 0, forwarder: 0 } },
      { atMs: 1000, fault: { kind: 'another forwarder', client: 0, forwarder: 1 } },
      { atMs: 1200, fault: { kind: 'another forwarder', client: 0, forwarder: 0 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBeUndefined();
  });

  it('needs nothing of the old configuration once its CIDs are retired', () => {
    const rollOut = { forwardersAtMs: [300], backendsAtMs: [400, 400], dropAtMs: 2000 };
    const late = { ...VOICE_CALL[0]!, startMs: 2500 };
    const world = play({ rollOut, calls: [voiceCall(0, { streams: [...VOICE_CALL, late] })] });
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('path changed')).toBeUndefined();
  });

  it('is connected one round trip after it was dialled', () => {
    const world = play({});
    // Twice 10 ms of access and 0.5 ms inside.
    expect(world.calls[0]!.connectedAt! - world.calls[0]!.dialledAt).toBeCloseTo(21, 0);
  });
});

const SESSION: SessionPlan = {
  startMs: 0,
  status: 200,
  answerAfterMs: 0,
  streams: VOICE_CALL,
  drain: undefined,
  end: { by: 'client', atMs: undefined, cancel: false, code: 0, reason: 'all is said' },
};

/** Sessions of WebTransport in place of streams of QUIC. */
function webCall(sessions: readonly SessionPlan[], change: Partial<WebPlan> = {}) {
  const web: WebPlan = { sessions, requests: [], goAwayAtMs: undefined, ...change };
  return { maxSessions: 3, calls: [voiceCall(0, { streams: [], web })] };
}

/** Codes, reasons, order and what is left are checked on the way. */
describe('a session of WebTransport', () => {
  it('is drained by its server while the forwarder crashes, says what it has to say and ends cleanly', () => {
    const drain = { by: 'server', atMs: 500 } as const;
    const world = play(webCall([{ ...SESSION, drain }]), [
      { atMs: 520, fault: { kind: 'forwarder crashes', forwarder: 0, forMs: 300 } },
    ]);
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('session draining')).toBe(1);
    expect(world.met.get('session closed')).toBe(2);
    expect(world.met.get('session cut off')).toBeUndefined();
  });

  it('leaves nothing behind when it is closed in the middle of its streams, and the next one begins anew', () => {
    const end = { ...SESSION.end, atMs: 700, code: 0xffff_ffff, reason: 'enough' };
    const world = play(
      webCall([
        { ...SESSION, end },
        { ...SESSION, startMs: 900 },
      ]),
    );
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('web streamReset by the protocol')).toBeGreaterThan(0);
    expect(world.met.get('session opened')).toBe(4);
  });

  it('goes on after a GOAWAY, as do requests that came before it', () => {
    const requests = [{ atMs: 0, status: 200, bodyOctets: 60_000, answerOctets: 65_000 }];
    const world = play(webCall([SESSION], { requests, goAwayAtMs: 100 }));
    expect(world.calls[0]!.endings).toMatchObject(ENDED_WELL);
    expect(world.met.get('request answered')).toBe(1);
    expect(world.met.get('session closed')).toBe(2);
  });
});
