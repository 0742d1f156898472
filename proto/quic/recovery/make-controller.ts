import { BbrController } from './bbr/index.ts';
import type { CongestionControl, CongestionController } from './congestion.ts';
import { CubicController } from './cubic.ts';
import { NewRenoController } from './newreno.ts';

/** A congestion control in its first state. `random` gives numbers from 0 up to 1. */
export function makeController(
  control: CongestionControl,
  maxDatagramOctets: number,
  random: () => number,
): CongestionController {
  if (control === 'bbr') return new BbrController(maxDatagramOctets, random);
  return control === 'newreno'
    ? new NewRenoController(maxDatagramOctets)
    : new CubicController(maxDatagramOctets);
}
