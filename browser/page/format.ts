/** Figures as people read them. */

const whole = new Intl.NumberFormat('en');
const oneDigit = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const NOTHING = '–';

export function count(value: number | undefined): string {
  return value === undefined ? NOTHING : whole.format(value);
}

/** Milliseconds, with a digit after the point below 10. */
export function ms(value: number | undefined | null): string {
  if (value === undefined || value === null) return NOTHING;
  return value < 10 ? `${oneDigit.format(value)} ms` : `${whole.format(Math.round(value))} ms`;
}

/** A duration of audio: ms below one second, seconds above. */
export function duration(valueMs: number): string {
  return valueMs < 1000 ? `${whole.format(Math.round(valueMs))} ms` : `${oneDigit.format(valueMs / 1000)} s`;
}

export function octets(value: number): string {
  if (value < 1000) return `${value} B`;
  if (value < 1_000_000) return `${oneDigit.format(value / 1000)} kB`;
  return `${oneDigit.format(value / 1_000_000)} MB`;
}

/** Time since the call began, as m:ss. */
export function clock(valueMs: number): string {
  const seconds = Math.floor(valueMs / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** A level (root mean square, 0 to 1) as a share of a meter: 0 at -54 dB, 1 at -6 dB, as ears judge loudness. */
export function loudness(level: number): number {
  if (level <= 0) return 0;
  const decibels = 20 * Math.log10(level);
  return Math.max(0, Math.min(1, (decibels + 54) / 48));
}
