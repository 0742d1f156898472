import { createRequire } from 'node:module';
import {
  type Aead,
  type AeadName,
  type HeaderProtection,
  NODE_CIPHERS,
  type PacketCiphers,
} from '../../proto/quic/index.ts';
import { selfTest } from './self-test.ts';

/** What was chosen, and why, for one line of the log. */
export interface CipherChoice {
  readonly ciphers: PacketCiphers;
  readonly why: string;
}

type NativeFunction = (...values: unknown[]) => number;

/** What is used of koffi. Not its own types: it may be absent, and everything must compile as before. */
interface Koffi {
  load(library: null): { func(prototype: string): NativeFunction };
  address(data: Uint8Array): bigint;
}

/** OpenSSL's `EVP_CTRL_AEAD_GET_TAG` and `EVP_CTRL_AEAD_SET_TAG`. */
const GET_TAG = 0x10;
const SET_TAG = 0x11;
const TAG_OCTETS = 16;
const BLOCK_OCTETS = 16;
const MASK_OCTETS = 5;
/** Keeps the direction that a context was first set up for. */
const SAME_DIRECTION = -1;
const DECRYPT = 0;
const ENCRYPT = 1;

/** The functions of OpenSSL that Node itself is linked with. Pointers are numbers, exact up to 2^53: no call allocates. */
class OpenSsl {
  readonly addressOf: (data: Uint8Array) => number;
  readonly create: NativeFunction;
  readonly free: NativeFunction;
  readonly init: NativeFunction;
  readonly update: NativeFunction;
  readonly final: NativeFunction;
  readonly control: NativeFunction;
  readonly #ciphers = new Map<string, number>();
  /** Where OpenSSL writes how many octets it gave. */
  readonly #length = new Uint8Array(new ArrayBuffer(4));
  readonly lengthAt: number;

  /** Throws when koffi, or a function, is not there. */
  constructor() {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const library = koffi.load(null);
    this.addressOf = (data) => Number(koffi.address(data));
    this.create = library.func('intptr_t EVP_CIPHER_CTX_new()');
    this.free = library.func('void EVP_CIPHER_CTX_free(intptr_t context)');
    this.init = library.func(
      'int EVP_CipherInit_ex(intptr_t context, intptr_t cipher, intptr_t engine, intptr_t key, intptr_t iv, int direction)',
    );
    this.update = library.func(
      'int EVP_CipherUpdate(intptr_t context, intptr_t out, intptr_t length, intptr_t data, int octets)',
    );
    this.final = library.func('int EVP_CipherFinal_ex(intptr_t context, intptr_t out, intptr_t length)');
    this.control = library.func(
      'int EVP_CIPHER_CTX_ctrl(intptr_t context, int type, int argument, intptr_t data)',
    );
    const names = [
      'aes_128_gcm',
      'aes_256_gcm',
      'chacha20_poly1305',
      'aes_128_ecb',
      'aes_256_ecb',
      'chacha20',
    ];
    for (const name of names) this.#ciphers.set(name, library.func(`intptr_t EVP_${name}()`)());
    this.lengthAt = this.addressOf(this.#length);
  }

  /** A context with this key. OpenSSL keeps the expanded key in it until it is freed, which wipes it. */
  context(cipher: string, key: Uint8Array, direction: number): number {
    const context = this.create();
    if (context === 0) throw new Error('OpenSSL has no memory for a cipher context');
    // A copy of its own: a short typed array may be moved by the garbage collector.
    const copy = new Uint8Array(new ArrayBuffer(key.length));
    copy.set(key);
    const ok = this.init(context, this.#ciphers.get(cipher)!, 0, this.addressOf(copy), 0, direction);
    copy.fill(0);
    if (ok === 1) return context;
    this.free(context);
    throw new Error(`OpenSSL refused to set up ${cipher}`);
  }
}

/**
 * Addresses of octets in memory that is used for many packets: asked for once, as long as they lie in the same. It holds on to that
 * memory, so that no other can come to lie there.
 */
class AddressCache {
  readonly #addressOf: (data: Uint8Array) => number;
  #memory: ArrayBufferLike | undefined;
  #at = 0;

  constructor(openSsl: OpenSsl) {
    this.#addressOf = openSsl.addressOf;
  }

  of(data: Uint8Array): number {
    const memory = data.buffer;
    if (memory !== this.#memory) {
      this.#at = this.#addressOf(new Uint8Array(memory));
      this.#memory = memory;
    }
    return this.#at + data.byteOffset;
  }
}

/** More than any UDP datagram holds. */
const MAX_TEXT_OCTETS = 65_536;

/** A context that is freed at `dispose`, or with the object that held it should that be forgotten. */
class Context {
  readonly #openSsl: OpenSsl;
  readonly #registry: FinalizationRegistry<number>;
  #at: number;

  constructor(openSsl: OpenSsl, registry: FinalizationRegistry<number>, at: number) {
    this.#openSsl = openSsl;
    this.#registry = registry;
    this.#at = at;
    registry.register(this, at, this);
  }

  /** Throws when it was freed: using it would be a fault of ours, and OpenSSL would crash. */
  get at(): number {
    if (this.#at === 0) throw new Error('packet keys were used after they were disposed of');
    return this.#at;
  }

  free(): void {
    if (this.#at === 0) return;
    this.#registry.unregister(this);
    this.#openSsl.free(this.#at);
    this.#at = 0;
  }
}

/** Makes contexts. One registry for all: objects that are forgotten give theirs back. */
class Contexts {
  readonly openSsl: OpenSsl;
  readonly #registry: FinalizationRegistry<number>;

  constructor(openSsl: OpenSsl) {
    this.openSsl = openSsl;
    this.#registry = new FinalizationRegistry((at) => openSsl.free(at));
  }

  make(cipher: string, key: Uint8Array, direction: number): Context {
    return new Context(this.openSsl, this.#registry, this.openSsl.context(cipher, key, direction));
  }
}

/**
 * Where the nonce, a header protection sample and a mask are handed over: memory that stays where it is. One of each
 * serves all keys, as calls do not overlap.
 */
class Exchange {
  readonly nonce = new Uint8Array(new ArrayBuffer(12));
  readonly sample = new Uint8Array(new ArrayBuffer(BLOCK_OCTETS));
  readonly zeros = new Uint8Array(new ArrayBuffer(BLOCK_OCTETS));
  readonly mask = new Uint8Array(new ArrayBuffer(2 * BLOCK_OCTETS));
  readonly nonceAt: number;
  readonly sampleAt: number;
  readonly zerosAt: number;
  readonly maskAt: number;
  /** Of packets that are sealed, of those that are opened, and of their headers. */
  readonly sealed: AddressCache;
  readonly opened: AddressCache;
  readonly headers: AddressCache;
  /** Where the plaintext of the packet in hand goes. Memory for each would be megabytes a second for the garbage collector. */
  readonly #text = new Uint8Array(new ArrayBuffer(MAX_TEXT_OCTETS));
  readonly textAt: number;

  constructor(openSsl: OpenSsl) {
    this.sealed = new AddressCache(openSsl);
    this.opened = new AddressCache(openSsl);
    this.headers = new AddressCache(openSsl);
    this.nonceAt = openSsl.addressOf(this.nonce);
    this.sampleAt = openSsl.addressOf(this.sample);
    this.zerosAt = openSsl.addressOf(this.zeros);
    this.maskAt = openSsl.addressOf(this.mask);
    this.textAt = openSsl.addressOf(this.#text);
  }

  /** The plaintext that was written at `textAt`. */
  text(octets: number): Uint8Array {
    return this.#text.subarray(0, octets);
  }
}

class OpenSslAead implements Aead {
  readonly #contexts: Contexts;
  readonly #exchange: Exchange;
  readonly #cipher: string;
  readonly #key: Uint8Array;
  /** One for each direction, made when first used: a key is used in one of them only. */
  #sealing: Context | undefined;
  #opening: Context | undefined;
  #disposed = false;

  constructor(contexts: Contexts, exchange: Exchange, name: AeadName, key: Uint8Array) {
    this.#contexts = contexts;
    this.#exchange = exchange;
    this.#cipher = name.replaceAll('-', '_');
    this.#key = key.slice();
  }

  #context(direction: number): Context {
    if (this.#disposed) throw new Error('packet keys were used after they were disposed of');
    return this.#contexts.make(this.#cipher, this.#key, direction);
  }

  seal(nonce: Uint8Array, buffer: Uint8Array, start: number, textStart: number, textEnd: number): void {
    checkBounds(buffer, start, textStart, textEnd);
    this.#sealing ??= this.#context(ENCRYPT);
    const { init, update, final, control, lengthAt } = this.#contexts.openSsl;
    const context = this.#sealing.at;
    const base = this.#exchange.sealed.of(buffer);
    this.#exchange.nonce.set(nonce);
    const ok =
      init(context, 0, 0, 0, this.#exchange.nonceAt, SAME_DIRECTION) === 1 &&
      update(context, 0, lengthAt, base + start, textStart - start) === 1 &&
      (textEnd === textStart ||
        update(context, base + textStart, lengthAt, base + textStart, textEnd - textStart) === 1) &&
      final(context, base + textEnd, lengthAt) === 1 &&
      control(context, GET_TAG, TAG_OCTETS, base + textEnd) === 1;
    if (!ok) throw new Error('OpenSSL could not encrypt a packet');
  }

  open(
    nonce: Uint8Array,
    header: Uint8Array,
    data: Uint8Array,
    textStart: number,
    tagStart: number,
  ): Uint8Array | undefined {
    checkBounds(data, 0, textStart, tagStart);
    this.#opening ??= this.#context(DECRYPT);
    const { init, update, final, control, lengthAt } = this.#contexts.openSsl;
    const context = this.#opening.at;
    const exchange = this.#exchange;
    const base = exchange.opened.of(data);
    const octets = tagStart - textStart;
    if (octets > MAX_TEXT_OCTETS)
      throw new RangeError(`a packet with ${octets} octets of text fits no datagram`);
    const textAt = octets === 0 ? lengthAt : exchange.textAt;
    exchange.nonce.set(nonce);
    const ok =
      init(context, 0, 0, 0, this.#exchange.nonceAt, SAME_DIRECTION) === 1 &&
      control(context, SET_TAG, TAG_OCTETS, base + tagStart) === 1 &&
      update(context, 0, lengthAt, exchange.headers.of(header), header.length) === 1 &&
      (octets === 0 || update(context, textAt, lengthAt, base + textStart, octets) === 1) &&
      final(context, textAt, lengthAt) === 1;
    // What was decrypted of a packet that is not authentic is seen by nothing: the next one is written over it.
    return ok ? exchange.text(octets) : undefined;
  }

  dispose(): void {
    this.#disposed = true;
    this.#sealing?.free();
    this.#opening?.free();
    this.#sealing = undefined;
    this.#opening = undefined;
    this.#key.fill(0);
  }
}

/** Native code checks no bounds: ours must hold before an address is handed over. */
function checkBounds(data: Uint8Array, start: number, textStart: number, textEnd: number): void {
  if (start >= 0 && start <= textStart && textStart <= textEnd && textEnd + TAG_OCTETS <= data.length) return;
  throw new RangeError(
    `a packet from ${start} with text from ${textStart} to ${textEnd} and a tag is not within ${data.length} octets`,
  );
}

class OpenSslHeaderProtection implements HeaderProtection {
  readonly #openSsl: OpenSsl;
  readonly #exchange: Exchange;
  readonly #aes: boolean;
  readonly #context: Context;

  constructor(contexts: Contexts, exchange: Exchange, aes: boolean, key: Uint8Array) {
    this.#openSsl = contexts.openSsl;
    this.#exchange = exchange;
    this.#aes = aes;
    this.#context = contexts.make(aes ? `aes_${8 * key.length}_ecb` : 'chacha20', key, ENCRYPT);
  }

  mask(data: Uint8Array, sampleAt: number): Uint8Array {
    const { update, init, lengthAt } = this.#openSsl;
    const context = this.#context.at;
    const exchange = this.#exchange;
    for (let i = 0; i < BLOCK_OCTETS; i++) exchange.sample[i] = data[sampleAt + i]!;
    const ok = this.#aes
      ? update(context, exchange.maskAt, lengthAt, exchange.sampleAt, BLOCK_OCTETS) === 1
      : // RFC 9001 §5.4.4: counter (4 octets, little-endian) and nonce, which is just how OpenSSL lays out this cipher's IV.
        init(context, 0, 0, 0, exchange.sampleAt, SAME_DIRECTION) === 1 &&
        update(context, exchange.maskAt, lengthAt, exchange.zerosAt, MASK_OCTETS) === 1;
    if (!ok) throw new Error('OpenSSL could not make a header protection mask');
    return exchange.mask;
  }

  dispose(): void {
    this.#context.free();
  }
}

/**
 * Packet ciphers from the OpenSSL that Node is linked with, called through koffi with contexts that are used again: a cipher
 * object of `node:crypto` serves one packet, and costs several times what its octets do. `node:crypto`'s where koffi does not
 * load, a function is missing, or the vectors of RFC 9001 do not come out.
 */
export function choosePacketCiphers(): CipherChoice {
  try {
    const contexts = new Contexts(new OpenSsl());
    const exchange = new Exchange(contexts.openSsl);
    const ciphers: PacketCiphers = {
      name: 'OpenSSL',
      aead: (name, key) => new OpenSslAead(contexts, exchange, name, key),
      headerProtection: (aes, key) => new OpenSslHeaderProtection(contexts, exchange, aes, key),
    };
    const fault = selfTest(ciphers);
    if (fault === undefined) return { ciphers, why: 'koffi loads and the vectors of RFC 9001 come out' };
    return { ciphers: NODE_CIPHERS, why: `the self-test failed: ${fault}` };
  } catch (error) {
    return { ciphers: NODE_CIPHERS, why: `koffi does not serve: ${(error as Error).message}` };
  }
}
