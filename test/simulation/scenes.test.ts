import { describe, expect, it } from 'vitest';
import { PERFECT } from './conditions.ts';
import { play, scenePlan, voiceCall } from './scene.ts';
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
    const world = play({ clients: [{ up: rough, down: rough }] });
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

  it('is connected one round trip after it was dialled', () => {
    const world = play({});
    // Twice 10 ms of access and 0.5 ms inside.
    expect(world.calls[0]!.connectedAt! - world.calls[0]!.dialledAt).toBeCloseTo(21, 0);
  });
});
