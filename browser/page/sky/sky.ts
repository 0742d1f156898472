import { setText } from '../dom.ts';
import { OVERVIEW, SIGHTS, sightFact } from './bodies.ts';
import { between, type View, viewOf } from './camera.ts';
import { Painter } from './draw.ts';

/** How long the camera takes from one sight to another, in ms. */
const JOURNEY_MS = 2200;
/** Least time between two pictures, in ms: while the camera moves, and while only the planets do. */
const MOVING_FRAME_MS = 16;
const DRIFTING_FRAME_MS = 100;

/** The solar system on the page: the camera turns to what is asked for, and during a call the planets go their ways. */
export class Sky {
  readonly #canvas: HTMLCanvasElement;
  readonly #caption: HTMLElement;
  readonly #painter: Painter;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #sight = OVERVIEW;
  /** What the camera comes from, while it is on its way. */
  #left = OVERVIEW;
  #journey: { readonly from: View; readonly startedAt: number } | undefined;
  #drifts = false;
  #inSight = true;
  #seconds = 0;
  #drawnAt = 0;
  #frame = 0;

  constructor(canvas: HTMLCanvasElement, caption: HTMLElement) {
    this.#canvas = canvas;
    this.#caption = caption;
    const context = canvas.getContext('2d', { alpha: false });
    if (context === null) throw new Error('this browser gives no 2D canvas');
    this.#painter = new Painter(context);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    new IntersectionObserver(([entry]) => {
      this.#inSight = entry?.isIntersecting ?? true;
      this.#wake();
    }).observe(canvas);
    this.#tell();
    this.#resize();
  }

  /** What is looked at. */
  get sight(): string {
    return this.#sight;
  }

  /** Turns the camera; gives a sentence about what is seen, or nothing where there is no such sight. */
  show(sight: string): string | undefined {
    const wanted = SIGHTS.find((name) => name.toLowerCase() === sight.toLowerCase());
    if (wanted === undefined) return undefined;
    const now = performance.now();
    if (wanted !== this.#sight) {
      const from = this.#view(now);
      // With less motion wished for, the picture changes at once.
      const calm = this.#calm.matches;
      this.#left = calm ? wanted : this.#sight;
      this.#sight = wanted;
      this.#journey = calm ? undefined : { from, startedAt: now };
      this.#tell();
      this.#draw(now);
      this.#wake();
    }
    return sightFact(wanted);
  }

  /** Whether the planets move. */
  drift(drifts: boolean): void {
    this.#drifts = drifts;
    this.#wake();
  }

  #tell(): void {
    const name = this.#sight === OVERVIEW ? 'The solar system' : this.#sight;
    this.#canvas.setAttribute('aria-label', `${name}, drawn`);
    setText(this.#caption, `${name}. ${sightFact(this.#sight) ?? ''}`);
  }

  get #moves(): boolean {
    return this.#inSight && (this.#journey !== undefined || (this.#drifts && !this.#calm.matches));
  }

  #wake(): void {
    if (this.#frame !== 0 || !this.#moves) return;
    this.#drawnAt = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#tick(now));
  }

  #tick(now: number): void {
    this.#frame = 0;
    const since = now - this.#drawnAt;
    if (since >= (this.#journey === undefined ? DRIFTING_FRAME_MS : MOVING_FRAME_MS)) {
      this.#drawnAt = now;
      if (this.#drifts && !this.#calm.matches) this.#seconds += since / 1000;
      this.#draw(now);
    }
    if (this.#moves) this.#frame = requestAnimationFrame((next) => this.#tick(next));
  }

  #view(now: number): View {
    const to = viewOf(this.#sight, this.#seconds);
    if (this.#journey === undefined) return to;
    const share = Math.min(1, Math.max(0, (now - this.#journey.startedAt) / JOURNEY_MS));
    const view = between(this.#journey.from, to, share);
    if (share === 1) {
      this.#journey = undefined;
      this.#left = this.#sight;
    }
    return view;
  }

  #resize(): void {
    const ratio = Math.min(2, devicePixelRatio || 1);
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    this.#painter.resize(clientWidth, clientHeight, ratio);
    this.#draw(performance.now());
  }

  #draw(now: number): void {
    this.#painter.draw(this.#view(now), this.#seconds, [this.#left, this.#sight]);
  }
}
