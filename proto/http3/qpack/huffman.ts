import { HUFFMAN_CODES } from './huffman-table.ts';

const EOS = 256;
const SYMBOL_SHIFT = 9;
const STATE_MASK = 0x1ff;
const EMITS = 1 << 18;
const FAILS = 1 << 19;

interface Machine {
  /** By `state * 16 + nibble`: next state, the symbol that ends within the nibble, and the flags above. */
  readonly transitions: Uint32Array;
  /** States in which the input may end: at a symbol's end, or in padding of up to seven ones. */
  readonly accepting: Uint8Array;
}

/** A binary tree in one array: `tree[node * 2 + bit]` is a child node (> 0), a leaf (`-1 - symbol`) or nothing (0). */
function buildTree(): number[] {
  const tree = [0, 0];
  HUFFMAN_CODES.forEach(([code, bits], symbol) => {
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const slot = node * 2 + ((code >>> bit) & 1);
      if (tree[slot] === 0) {
        tree[slot] = tree.length / 2;
        tree.push(0, 0);
      }
      node = tree[slot] as number;
    }
    tree[node * 2 + (code & 1)] = -1 - symbol;
  });
  return tree;
}

/** Four bits at a time: no code is shorter than five bits, so one nibble ends at most one symbol. */
function buildMachine(): Machine {
  const tree = buildTree();
  const states = tree.length / 2;
  const transitions = new Uint32Array(states * 16);
  for (let state = 0; state < states; state++) {
    for (let nibble = 0; nibble < 16; nibble++) transitions[state * 16 + nibble] = walk(tree, state, nibble);
  }
  const accepting = new Uint8Array(states);
  let padding = 0;
  for (let ones = 0; ones <= 7; ones++) {
    accepting[padding] = 1;
    padding = tree[padding * 2 + 1] as number;
  }
  return { transitions, accepting };
}

function walk(tree: readonly number[], start: number, nibble: number): number {
  let node = start;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = tree[node * 2 + ((nibble >> bit) & 1)] as number;
    if (next >= 0) {
      node = next;
      continue;
    }
    const symbol = -1 - next;
    if (symbol === EOS) return FAILS;
    emitted = EMITS | (symbol << SYMBOL_SHIFT);
    node = 0;
  }
  return emitted | node;
}

const machine = buildMachine();

/**
 * Decodes a Huffman-coded string (RFC 7541 §5.2); each symbol is one octet, given as a character below 256.
 * `undefined` when it holds EOS, or padding that is longer than seven bits or not all ones.
 */
export function huffmanDecode(octets: Uint8Array): string | undefined {
  const { transitions, accepting } = machine;
  // The shortest code has five bits.
  const out = new Uint8Array(Math.ceil((octets.length * 8) / 5));
  let length = 0;
  let state = 0;
  for (const octet of octets) {
    for (const nibble of [octet >> 4, octet & 15]) {
      const step = transitions[state * 16 + nibble] as number;
      if (step & FAILS) return undefined;
      if (step & EMITS) out[length++] = (step >> SYMBOL_SHIFT) & 0xff;
      state = step & STATE_MASK;
    }
  }
  return accepting[state] === 1 ? latin1(out.subarray(0, length)) : undefined;
}

/** Octets as characters below 256. */
export function latin1(octets: Uint8Array): string {
  let text = '';
  // In slices, because an argument list has a limit.
  for (let at = 0; at < octets.length; at += 4096) {
    text += String.fromCharCode(...octets.subarray(at, at + 4096));
  }
  return text;
}

/** Octets that `text` (characters below 256) takes when Huffman-coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += HUFFMAN_CODES[text.charCodeAt(i) & 0xff]?.[1] ?? 0;
  return Math.ceil(bits / 8);
}

/** Huffman-codes `text` (characters below 256), padded with ones. */
export function huffmanEncode(text: string): Uint8Array {
  const out = new Uint8Array(huffmanLength(text));
  let at = 0;
  let held = 0;
  let heldBits = 0;
  for (let i = 0; i < text.length; i++) {
    const [code, bits] = HUFFMAN_CODES[text.charCodeAt(i) & 0xff] as readonly [number, number];
    // In two halves, so that the accumulator stays within 32 bits.
    for (let left = bits; left > 0; ) {
      const take = Math.min(left, 16);
      left -= take;
      held = (held << take) | ((code >>> left) & ((1 << take) - 1));
      heldBits += take;
      while (heldBits >= 8) {
        heldBits -= 8;
        out[at++] = (held >>> heldBits) & 0xff;
      }
      held &= (1 << heldBits) - 1;
    }
  }
  if (heldBits > 0) out[at] = ((held << (8 - heldBits)) | (0xff >> heldBits)) & 0xff;
  return out;
}
