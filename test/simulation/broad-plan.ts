import { drawBasePlan, type Plan } from './plan.ts';
import { SeededRandom } from './random.ts';
import { overWeb } from './workloads/draw-web.ts';

/** HTTP/3 needs a control stream each way, and a session its CONNECT stream for as long as it lasts. */
const WEB_STREAMS_BIDI = [8, 100];
const WEB_STREAMS_UNI = [4, 8, 100];

function asWeb(plan: Plan, random: SeededRandom): Plan {
  return {
    ...plan,
    maxSessions: random.pick([1, 3, 3]),
    calls: plan.calls.map((call) => overWeb(random, call)),
    transport: {
      ...plan.transport,
      initialMaxStreamsBidi: random.pick(WEB_STREAMS_BIDI),
      initialMaxStreamsUni: random.pick(WEB_STREAMS_UNI),
    },
  };
}

/** Everything about a run, from its seed. Half of the runs are broadened: what is drawn here leaves the base plan as it is. */
export function drawPlan(seed: number): Plan {
  const plan = drawBasePlan(seed);
  const random = new SeededRandom(seed, 'broad plan');
  return random.chance(0.45) ? asWeb(plan, random) : plan;
}
