import { BODIES, type Body } from './bodies.ts';
import { eye, NEAR, type Point, place, presence, type Seen, unitAt, type View } from './camera.ts';

const STARS = 420;
const ORBIT_STEPS = 96;
const ORBIT_COLOUR = 'rgb(148 180 210 / 26%)';

interface Star {
  readonly at: Point;
  readonly size: number;
  readonly light: number;
}

/** The same sky each time: points spread evenly over a sphere by the golden angle, sizes by the index. */
const SKY: readonly Star[] = Array.from({ length: STARS }, (_, i) => {
  const y = 1 - (2 * i + 1) / STARS;
  const angle = i * 2.399_963 + 0.7 * Math.sin(i * 12.9898);
  const across = Math.sqrt(1 - y * y);
  const chance = Math.abs(Math.sin(i * 78.233) * 43_758.5453) % 1;
  return {
    at: [across * Math.cos(angle), y, across * Math.sin(angle)],
    size: chance > 0.92 ? 1.8 : 1,
    light: 0.25 + 0.65 * chance,
  };
});

/** Draws the solar system on a canvas. */
export class Painter {
  readonly #context: CanvasRenderingContext2D;
  #width = 0;
  #height = 0;
  /** How much of the body under way is drawn. */
  #present = 1;

  constructor(context: CanvasRenderingContext2D) {
    this.#context = context;
  }

  /** In CSS pixels, of which one is `ratio` of the canvas'. */
  resize(width: number, height: number, ratio: number): void {
    this.#width = width;
    this.#height = height;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** `sights` are the bodies that the camera looks at: the one that it comes from, and the one that it goes to. */
  draw(view: View, seconds: number, sights: readonly string[]): void {
    const context = this.#context;
    const see = eye(view);
    context.fillStyle = '#070b16';
    context.fillRect(0, 0, this.#width, this.#height);
    this.#stars(see);
    const bodies = BODIES.map((body) => ({ body, at: place(body, seconds) }))
      .map(({ body, at }) => ({ body, at, seen: see(at) }))
      .sort((one, other) => other.seen[2] - one.seen[2]);
    const sun = this.#onScreen(see([0, 0, 0]));
    for (const { body } of bodies) this.#orbit(body, see);
    for (const { body, seen } of bodies) {
      const present = presence(body.radius, seen[2], sights.includes(body.name));
      if (present > 0) this.#body(body, seen, sun, view.elevation, present);
    }
  }

  #scale(depth: number): number {
    return this.#height * unitAt(depth);
  }

  #onScreen([right, up, depth]: Seen): readonly [x: number, y: number] {
    const scale = this.#scale(depth);
    return [this.#width / 2 + right * scale, this.#height / 2 - up * scale];
  }

  #stars(see: (point: Point, offset?: boolean) => Seen): void {
    const context = this.#context;
    context.fillStyle = '#dbe7ff';
    for (const { at, size, light } of SKY) {
      const [right, up, depth] = see(at, false);
      if (depth < NEAR) continue;
      const [x, y] = this.#onScreen([right, up, depth]);
      context.globalAlpha = light;
      context.fillRect(x, y, size, size);
    }
    context.globalAlpha = 1;
  }

  #orbit({ orbit }: Body, see: (point: Point) => Seen): void {
    if (orbit === 0) return;
    const context = this.#context;
    context.strokeStyle = ORBIT_COLOUR;
    context.lineWidth = 1;
    context.beginPath();
    let down = false;
    for (let i = 0; i <= ORBIT_STEPS; i++) {
      const angle = (i / ORBIT_STEPS) * 2 * Math.PI;
      const seen = see([orbit * Math.cos(angle), 0, orbit * Math.sin(angle)]);
      if (seen[2] < 0.5) {
        down = false;
        continue;
      }
      const [x, y] = this.#onScreen(seen);
      if (down) context.lineTo(x, y);
      else context.moveTo(x, y);
      down = true;
    }
    context.stroke();
  }

  #body(body: Body, seen: Seen, sun: readonly [number, number], elevation: number, present: number): void {
    this.#present = present;
    const [x, y] = this.#onScreen(seen);
    const radius = Math.max(1.2, body.radius * this.#scale(seen[2]));
    const far = radius * 4 + 40;
    if (x < -far || y < -far || x > this.#width + far || y > this.#height + far) return;
    this.#context.globalAlpha = present;
    if (body.orbit === 0) this.#sun(x, y, radius, body);
    else {
      if (body.ring !== undefined) this.#ring(body.ring, x, y, radius, elevation, 'behind');
      this.#planet(body, x, y, radius, sun);
      if (body.ring !== undefined) this.#ring(body.ring, x, y, radius, elevation, 'before');
    }
    this.#context.globalAlpha = 1;
  }

  #sun(x: number, y: number, radius: number, { lit, shade }: Body): void {
    const context = this.#context;
    const glow = context.createRadialGradient(x, y, radius * 0.6, x, y, radius * 4);
    glow.addColorStop(0, 'rgb(255 196 87 / 55%)');
    glow.addColorStop(0.35, 'rgb(255 160 60 / 14%)');
    glow.addColorStop(1, 'rgb(255 140 40 / 0%)');
    this.#disc(x, y, radius * 4, glow);
    const face = context.createRadialGradient(x, y, radius * 0.1, x, y, radius);
    face.addColorStop(0, lit);
    face.addColorStop(1, shade);
    this.#disc(x, y, radius, face);
  }

  #planet(
    { lit, shade, stripes }: Body,
    x: number,
    y: number,
    radius: number,
    sun: readonly [number, number],
  ): void {
    const context = this.#context;
    context.save();
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.clip();
    context.fillStyle = lit;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    if (stripes !== undefined && radius > 4) this.#stripes(stripes, x, y, radius);
    const away = Math.hypot(sun[0] - x, sun[1] - y) || 1;
    const [toX, toY] = [(sun[0] - x) / away, (sun[1] - y) / away];
    const light = context.createRadialGradient(
      x + toX * radius * 0.75,
      y + toY * radius * 0.75,
      radius * 0.1,
      x + toX * radius * 0.35,
      y + toY * radius * 0.35,
      radius * 1.65,
    );
    light.addColorStop(0, 'rgb(255 255 255 / 28%)');
    light.addColorStop(0.4, 'rgb(0 0 0 / 0%)');
    light.addColorStop(1, shade);
    context.fillStyle = light;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    context.restore();
  }

  #stripes(stripes: readonly string[], x: number, y: number, radius: number): void {
    const context = this.#context;
    const height = (2 * radius) / stripes.length;
    context.globalAlpha = 0.75 * this.#present;
    for (const [i, colour] of stripes.entries()) {
      const top = y - radius + i * height;
      context.fillStyle = colour;
      context.beginPath();
      context.ellipse(
        x,
        top + height / 2,
        radius * 1.2,
        height * 0.62,
        0.04 * Math.sin(i * 2.3),
        0,
        2 * Math.PI,
      );
      context.fill();
    }
    context.globalAlpha = this.#present;
  }

  #ring(
    { inner, outer, colour }: NonNullable<Body['ring']>,
    x: number,
    y: number,
    radius: number,
    elevation: number,
    half: 'behind' | 'before',
  ): void {
    const context = this.#context;
    const flat = Math.max(0.12, Math.sin(elevation + 0.2));
    const [from, to] = half === 'behind' ? [Math.PI, 2 * Math.PI] : [0, Math.PI];
    context.strokeStyle = colour;
    const rings = 5;
    for (let i = 0; i < rings; i++) {
      const at = inner + ((outer - inner) * (i + 0.5)) / rings;
      context.globalAlpha = [0.35, 0.8, 0.9, 0.3, 0.65][i]! * this.#present;
      context.lineWidth = (radius * (outer - inner) * 0.85) / rings;
      context.beginPath();
      context.ellipse(x, y, radius * at, radius * at * flat, -0.18, from, to);
      context.stroke();
    }
    context.globalAlpha = this.#present;
  }

  #disc(x: number, y: number, radius: number, fill: CanvasGradient): void {
    const context = this.#context;
    context.fillStyle = fill;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
}
