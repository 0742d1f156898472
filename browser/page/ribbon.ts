import { loudness } from './format.ts';
import { onTheme } from './theme.ts';

/** How much of the call the ribbon shows, and how finely. */
const BAR_MS = 80;
const BAR_PX = 3;
const GAP_PX = 3;
/** Bars kept: enough for a ribbon of 3840 px. */
const MAX_BARS = 640;

interface Bar {
  you: number;
  answer: number;
  mark: boolean;
}

/** The conversation as a ribbon that runs to the left: the caller above the line, the answer below it. */
export class Ribbon {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #bars: Bar[] = [];
  #youNow = 0;
  #answerNow = 0;
  #mark = false;
  #lastAt = 0;
  #frame = 0;
  #running = false;
  #colours = { you: '', answer: '', line: '', mark: '' };

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    const context = canvas.getContext('2d');
    if (context === null) throw new Error('this browser gives no 2D canvas');
    this.#context = context;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    onTheme(() => this.#resize());
    this.#resize();
  }

  /** Loudest levels since the last bar (root mean square, 0 to 1). */
  you(level: number): void {
    this.#youNow = Math.max(this.#youNow, loudness(level));
  }

  answer(level: number): void {
    this.#answerNow = Math.max(this.#answerNow, loudness(level));
  }

  /** Sets a mark at this moment: something happened to the network. */
  mark(): void {
    this.#mark = true;
  }

  start(): void {
    this.#bars = [];
    this.#running = true;
    this.#lastAt = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#tick(now));
  }

  stop(): void {
    this.#running = false;
    cancelAnimationFrame(this.#frame);
    this.#draw(0);
  }

  #tick(now: number): void {
    if (!this.#running) return;
    let grown = false;
    while (now - this.#lastAt >= BAR_MS) {
      this.#lastAt += BAR_MS;
      this.#bars.push({ you: this.#youNow, answer: this.#answerNow, mark: this.#mark });
      this.#mark = false;
      grown = true;
      if (this.#bars.length > MAX_BARS) this.#bars.shift();
    }
    if (grown) {
      this.#youNow = 0;
      this.#answerNow = 0;
    }
    // With less motion wished for, the ribbon moves in whole bars instead of gliding.
    if (grown || !this.#calm.matches) this.#draw(this.#calm.matches ? 0 : (now - this.#lastAt) / BAR_MS);
    this.#frame = requestAnimationFrame((next) => this.#tick(next));
  }

  #resize(): void {
    const ratio = devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * ratio);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * ratio);
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(this.#canvas);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    this.#colours = {
      you: colour('--you'),
      answer: colour('--answer'),
      line: colour('--line-strong'),
      mark: colour('--change'),
    };
    this.#draw(0);
  }

  #draw(shift: number): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#context;
    const middle = height / 2;
    const step = BAR_PX + GAP_PX;
    context.clearRect(0, 0, width, height);
    const shown = Math.ceil(width / step) + 1;
    for (let i = 0; i < shown; i++) {
      const bar = this.#bars[this.#bars.length - 1 - i];
      const x = width - (i + 1 + shift) * step;
      if (bar?.mark) this.#drawMark(x, height);
      this.#drawBar(x, middle, bar?.you ?? 0, -1, this.#colours.you);
      this.#drawBar(x, middle, bar?.answer ?? 0, 1, this.#colours.answer);
    }
  }

  /** One bar from the middle line, up (-1) or down (1); a dot where there is silence. */
  #drawBar(x: number, middle: number, level: number, direction: -1 | 1, colour: string): void {
    const context = this.#context;
    const silent = level < 0.02;
    const length = silent ? BAR_PX : BAR_PX + level * (middle - 12);
    context.fillStyle = silent ? this.#colours.line : colour;
    context.beginPath();
    const top = direction < 0 ? middle - 2 - length : middle + 2;
    context.roundRect(x, top, BAR_PX, length, BAR_PX / 2);
    context.fill();
  }

  #drawMark(x: number, height: number): void {
    const context = this.#context;
    context.fillStyle = this.#colours.mark;
    context.fillRect(x + BAR_PX / 2 - 0.75, 6, 1.5, height - 12);
    context.beginPath();
    context.arc(x + BAR_PX / 2, 6, 4, 0, Math.PI * 2);
    context.fill();
  }
}
