/** PCM16 of a wave whose pitch and loudness move as a voice's do, and which is never silent for 10 ms. */
export function voiceWave(length: number, rate: number): Int16Array {
  return Int16Array.from({ length }, (_, i) => {
    const t = i / rate;
    const wave = Math.sin(2 * Math.PI * (170 * t + 8 * Math.sin(2 * t)));
    return 9000 * wave * (0.7 + 0.3 * Math.sin(11 * t));
  });
}
