import { BODIES, type Body, OVERVIEW } from './bodies.ts';

export type Point = readonly [x: number, y: number, z: number];

/** Where the camera looks, and from where: angles in radians, distance in the scene's units. */
export interface View {
  readonly target: Point;
  readonly azimuth: number;
  readonly elevation: number;
  readonly distance: number;
}

/** A point as the camera sees it: to the right, up, and away from it. */
export type Seen = readonly [right: number, up: number, depth: number];

const TURN = 2 * Math.PI;
const OVERVIEW_VIEW = { azimuth: 0.5, elevation: 0.46, distance: 36 };
/** Seen from beside the Sun, so that most of a planet is lit. */
const BESIDE_SUN = 0.62;
const CLOSE_UP = { elevation: 0.16, distance: 5.4 };

/** Where a body stands after so many seconds. The plane of the orbits is x and z; y is up. */
export function place({ orbit, periodSeconds, turn }: Body, seconds: number): Point {
  const angle = TURN * (turn + seconds / periodSeconds);
  return [orbit * Math.cos(angle), 0, orbit * Math.sin(angle)];
}

/** The view of a body, or of all of them, at a moment. */
export function viewOf(sight: string, seconds: number): View {
  const body = BODIES.find(({ name }) => name === sight);
  if (body === undefined || sight === OVERVIEW) return { target: [0, 0, 0], ...OVERVIEW_VIEW };
  const target = place(body, seconds);
  const away = body.orbit === 0 ? OVERVIEW_VIEW.azimuth : Math.atan2(-target[2], -target[0]) + BESIDE_SUN;
  return {
    target,
    azimuth: away,
    elevation: CLOSE_UP.elevation,
    distance: CLOSE_UP.distance * body.radius * (body.ring === undefined ? 1 : 1.7),
  };
}

/** How far the camera draws back and rises in the middle of its way, for each unit between what it leaves and what it goes to. */
const DRAWS_BACK = 0.55;
const RISES = 0.3;

/** What lies between two views: `share` 0 is the first, 1 the second. The camera turns the shorter way, and draws back on its way. */
export function between(from: View, to: View, share: number): View {
  const eased = share * share * (3 - 2 * share);
  const mix = (one: number, other: number) => one + (other - one) * eased;
  const way = Math.hypot(to.target[0] - from.target[0], to.target[2] - from.target[2]);
  const middle = 4 * eased * (1 - eased);
  const turned = ((((to.azimuth - from.azimuth) % TURN) + 3 * Math.PI) % TURN) - Math.PI;
  return {
    target: [
      mix(from.target[0], to.target[0]),
      mix(from.target[1], to.target[1]),
      mix(from.target[2], to.target[2]),
    ],
    azimuth: from.azimuth + turned * eased,
    elevation: mix(from.elevation, to.elevation) + middle * RISES * Math.min(1, way / 10),
    distance: Math.exp(mix(Math.log(from.distance), Math.log(to.distance))) + middle * DRAWS_BACK * way,
  };
}

/** Half of the height is seen under this angle's tangent. */
const FIELD = 0.42;
/** What is nearer to the camera than this is not drawn. */
export const NEAR = 0.05;

/** How large one unit is at this distance from the camera, in heights of the picture. */
export function unitAt(depth: number): number {
  return 1 / (2 * FIELD * Math.max(NEAR, depth));
}

/** Apparent radius, in heights of the picture, up to which a body is drawn whole, and from which on not at all. */
const WHOLE_UNTIL = { sight: 0.26, other: 0.1 };
const GONE_FROM = { sight: 0.4, other: 0.17 };

/**
 * How much of a body is drawn, 0 to 1: one that comes too close to the camera would hide all others, and fades. `isSight`: it is what the
 * camera looks at, or leaves.
 */
export function presence(radius: number, depth: number, isSight: boolean): number {
  if (depth < NEAR) return 0;
  const kind = isSight ? 'sight' : 'other';
  const share = (GONE_FROM[kind] - radius * unitAt(depth)) / (GONE_FROM[kind] - WHOLE_UNTIL[kind]);
  return Math.min(1, Math.max(0, share));
}

/** The camera's eye for a view: gives where a point is seen. `offset` false: only the direction counts, as for stars. */
export function eye({
  target,
  azimuth,
  elevation,
  distance,
}: View): (point: Point, offset?: boolean) => Seen {
  const [cosA, sinA, cosE, sinE] = [
    Math.cos(azimuth),
    Math.sin(azimuth),
    Math.cos(elevation),
    Math.sin(elevation),
  ];
  return ([px, py, pz], offset = true) => {
    const x = offset ? px - target[0] : px;
    const y = offset ? py - target[1] : py;
    const z = offset ? pz - target[2] : pz;
    // Along the line from the target to the camera, and across it.
    const towards = x * cosA + z * sinA;
    const right = x * sinA - z * cosA;
    const up = y * cosE - towards * sinE;
    return [right, up, (offset ? distance : 0) - (towards * cosE + y * sinE)];
  };
}
