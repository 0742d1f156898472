import type { Conditions } from './conditions.ts';
import type { BackendHost } from './hosts/backend.ts';
import type { ClientHost } from './hosts/client.ts';
import type { ForwarderHost } from './hosts/forwarder.ts';
import type { Network } from './network.ts';
import { CALM_AT_MS, type Fault, type Plan } from './plan.ts';
import type { Schedule } from './schedule.ts';
import type { Trace } from './trace.ts';

/** What of a run can go wrong. */
export interface FaultSetting {
  readonly now: number;
  readonly plan: Plan;
  readonly schedule: Schedule;
  readonly trace: Trace;
  readonly network: Network;
  readonly clients: readonly ClientHost[];
  readonly forwarders: readonly ForwarderHost[];
  readonly backends: readonly BackendHost[];
  /** Noted of a fault, for those who judge how calls end. */
  readonly circumstances: { backendLost: boolean; drained: boolean; moved: boolean };
  readonly routing: { noteTrouble(backend: string, until: number): void };
  noteReach(until: number): void;
}

/** How long before a fault a backend may already have been silent for a forwarder. */
const soonest = (now: number, forMs: number): number => Math.min(now + forMs, CALM_AT_MS);

/** Makes something go wrong, and right again after its time. */
export function applyFault(world: FaultSetting, fault: Fault): void {
  world.trace.event(world.now, JSON.stringify(fault));
  switch (fault.kind) {
    case 'NAT rebinds':
      world.circumstances.moved = true;
      world.network.rebind(world.clients[fault.client]!, fault.newHost);
      return;
    case 'another forwarder':
      world.network.steer(world.clients[fault.client]!, world.forwarders[fault.forwarder]!);
      return;
    case 'forwarder crashes': {
      const forwarder = world.forwarders[fault.forwarder]!;
      forwarder.crash();
      world.schedule.at(soonest(world.now, fault.forMs), () => {
        if (!forwarder.isUp) forwarder.start();
      });
      return;
    }
    case 'backend crashes':
      crashBackend(world, fault.backend, fault.forMs);
      return;
    case 'backend drains': {
      world.circumstances.drained = true;
      const backend = world.backends[fault.backend]!;
      backend.drain(true);
      world.schedule.at(soonest(world.now, fault.forMs), () => backend.drain(false));
      return;
    }
    case 'backend changes CIDs':
      world.backends[fault.backend]!.changeConfiguration();
      return;
    case 'client crashes': {
      const client = world.clients[fault.client]!;
      client.crash();
      world.schedule.at(world.now + 1, () => {
        if (!client.isUp) client.start();
      });
      return;
    }
    case 'client migrates':
      world.circumstances.moved = true;
      world.clients[fault.client]!.migrateAll();
      return;
    case 'copied from elsewhere': {
      world.circumstances.moved = true;
      const client = world.clients[fault.client]!;
      world.network.copyFromElsewhere(client, fault.share);
      world.schedule.at(soonest(world.now, fault.forMs), () => world.network.copyFromElsewhere(client, 0));
      return;
    }
    case 'stands still':
      standStill(world, fault);
      return;
    case 'access':
      changeAccess(world, fault);
      return;
    case 'inside': {
      const until = soonest(world.now, fault.forMs);
      world.noteReach(until);
      world.network.setInner(fault.change, fault.from);
      const back = undo(world.plan.inner, fault.change);
      world.schedule.at(until, () => {
        if (world.now < CALM_AT_MS) world.network.setInner(back, fault.from);
      });
      return;
    }
  }
}

function crashBackend(world: FaultSetting, index: number, forMs: number): void {
  const backend = world.backends[index]!;
  const until = soonest(world.now, forMs);
  world.circumstances.backendLost = true;
  world.routing.noteTrouble(backend.name, until);
  backend.crash();
  world.schedule.at(until, () => {
    if (!backend.isUp) backend.start();
  });
}

function standStill(world: FaultSetting, fault: Extract<Fault, { kind: 'stands still' }>): void {
  const until = soonest(world.now, fault.forMs);
  if (fault.host === 'client') world.clients[fault.index]!.standStill(until, fault.first);
  else if (fault.host === 'forwarder') world.forwarders[fault.index]!.standStill(until);
  else {
    const backend = world.backends[fault.index]!;
    // It answers no probes, so it may be taken for dead.
    world.circumstances.backendLost = true;
    world.routing.noteTrouble(backend.name, until);
    backend.standStill(until, fault.first);
  }
}

function changeAccess(world: FaultSetting, fault: Extract<Fault, { kind: 'access' }>): void {
  const { up, down } = world.network.access(world.clients[fault.client]!);
  const links = fault.way === 'both' ? [up, down] : [fault.way === 'up' ? up : down];
  for (const link of links) {
    const back = undo(link.conditions, fault.change);
    link.conditions = { ...link.conditions, ...fault.change };
    world.schedule.at(soonest(world.now, fault.forMs), () => {
      if (world.now < CALM_AT_MS) link.conditions = { ...link.conditions, ...back };
    });
  }
}

function undo(conditions: Conditions, change: Partial<Conditions>): Partial<Conditions> {
  const keys = Object.keys(change) as (keyof Conditions)[];
  return Object.fromEntries(keys.map((key) => [key, conditions[key]]));
}
