/** A body of the solar system as the page draws it: sizes and distances are for the eye, not to scale. */
export interface Body {
  readonly name: string;
  /** Radius of the body and of its orbit, in the scene's units. */
  readonly radius: number;
  readonly orbit: number;
  /** Of one revolution, in seconds of the page. */
  readonly periodSeconds: number;
  /** Where on its orbit it begins, in turns. */
  readonly turn: number;
  /** Lit and shaded side. */
  readonly lit: string;
  readonly shade: string;
  /** Stripes along the equator, from one pole to the other. */
  readonly stripes?: readonly string[];
  readonly ring?: { readonly inner: number; readonly outer: number; readonly colour: string };
  /** A sentence for the caption, and for the model. */
  readonly fact: string;
}

/** What the whole of it is called. */
export const OVERVIEW = 'all';
const OVERVIEW_FACT = 'Eight planets, and the Sun in their middle.';

export const BODIES: readonly Body[] = [
  {
    name: 'Sun',
    radius: 1.7,
    orbit: 0,
    periodSeconds: 1,
    turn: 0,
    lit: '#fff3c4',
    shade: '#f59e0b',
    fact: 'It holds 99.8 % of all there is in the solar system.',
  },
  {
    name: 'Mercury',
    radius: 0.26,
    orbit: 3,
    periodSeconds: 24,
    turn: 0.12,
    lit: '#cfc6bb',
    shade: '#3d3833',
    fact: 'Its year lasts 88 days, its day from noon to noon 176.',
  },
  {
    name: 'Venus',
    radius: 0.46,
    orbit: 4.3,
    periodSeconds: 60,
    turn: 0.43,
    lit: '#f6e3b4',
    shade: '#5d4524',
    stripes: ['#f1d9a0', '#e8cb8b', '#f3dfae'],
    fact: 'It is the hottest planet, at 465 °C by day and by night.',
  },
  {
    name: 'Earth',
    radius: 0.5,
    orbit: 5.8,
    periodSeconds: 100,
    turn: 0.7,
    lit: '#8cc4f5',
    shade: '#0b2a4a',
    stripes: ['#e8f1f5', '#5f9ed6', '#6aa77c', '#5f9ed6', '#4f8fc9', '#77ac7f', '#5f9ed6', '#e8f1f5'],
    fact: 'Three tenths of it are land, and someone there is talking to you.',
  },
  {
    name: 'Mars',
    radius: 0.38,
    orbit: 7.3,
    periodSeconds: 188,
    turn: 0.9,
    lit: '#eb9c6b',
    shade: '#43190c',
    stripes: ['#f2e2d6', '#d9814f', '#c46a3c', '#d9814f', '#b85f36', '#dd8b5b'],
    fact: 'Its day lasts 24.6 hours, its year 687 days.',
  },
  {
    name: 'Jupiter',
    radius: 1.15,
    orbit: 10,
    periodSeconds: 600,
    turn: 0.3,
    lit: '#f0dcc0',
    shade: '#3f2c1c',
    stripes: [
      '#cdb598',
      '#e9d6b8',
      '#b98a63',
      '#efe0c8',
      '#d5b083',
      '#a87850',
      '#ead8bc',
      '#c3a27c',
      '#d8c6aa',
    ],
    fact: 'All other planets fit into it together, twice.',
  },
  {
    name: 'Saturn',
    radius: 0.95,
    orbit: 13.2,
    periodSeconds: 900,
    turn: 0.58,
    lit: '#f2e2b6',
    shade: '#43371c',
    stripes: ['#d8c48f', '#efdfb0', '#d9c28a', '#e9d6a0', '#cfb87e'],
    ring: { inner: 1.3, outer: 2.25, colour: '#d9c79b' },
    fact: 'Its rings are 280 000 km wide, and ten metres thick in places.',
  },
  {
    name: 'Uranus',
    radius: 0.66,
    orbit: 16,
    periodSeconds: 1400,
    turn: 0.05,
    lit: '#c8f0f0',
    shade: '#123c44',
    fact: 'It lies on its side: each pole has 42 years of summer.',
  },
  {
    name: 'Neptune',
    radius: 0.64,
    orbit: 18.6,
    periodSeconds: 2000,
    turn: 0.8,
    lit: '#8fb2ff',
    shade: '#10204f',
    stripes: ['#7ea4f7', '#668ff0', '#7ea4f7'],
    fact: 'Its winds are the fastest known, at 2000 km per hour.',
  },
];

/** What can be shown, as a tool's argument names it. */
export const SIGHTS: readonly string[] = [...BODIES.map(({ name }) => name), OVERVIEW];

/** A sentence about what is shown; undefined for what is not there. */
export function sightFact(name: string): string | undefined {
  return name === OVERVIEW ? OVERVIEW_FACT : BODIES.find((body) => body.name === name)?.fact;
}
