import type { AeadName, PacketCiphers } from '../../proto/quic/index.ts';
import { equalOctets, fromHex } from '../../proto/wire/index.ts';

interface AeadVector {
  readonly name: AeadName;
  readonly key: string;
  readonly nonce: string;
  readonly header: string;
  readonly text: string;
  /** Ciphertext and tag. */
  readonly sealed: string;
}

/** RFC 9001 §A.4 (the Retry Integrity Tag is AES-128-GCM over no text), §A.5, and NIST's GCM test case 14 for AES-256. */
const AEADS: readonly AeadVector[] = [
  {
    name: 'aes-128-gcm',
    key: 'be0c690b9f66575a1d766b54e368c84e',
    nonce: '461599d35d632bf2239825bb',
    header: '088394c8f03e515708ff000000010008f067a5502a4262b5746f6b656e',
    text: '',
    sealed: '04a265ba2eff4d829058fb3f0f2496ba',
  },
  {
    name: 'aes-256-gcm',
    key: '0000000000000000000000000000000000000000000000000000000000000000',
    nonce: '000000000000000000000000',
    header: '',
    text: '00000000000000000000000000000000',
    sealed: 'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
  },
  {
    name: 'chacha20-poly1305',
    key: 'c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8',
    nonce: 'e0459b3474bdd0e46d417eb0',
    header: '4200bff4',
    text: '01',
    sealed: '655e5cd55c41f69080575d7999c25a5bfb',
  },
];

/** Key, sample and mask: RFC 9001 §A.2 and §A.5; AES-256 from NIST's ECB vectors (SP 800-38A §F.1.5). */
const MASKS = [
  {
    aes: true,
    key: '9f50449e04a0e810283a1e9933adedd2',
    sample: 'd1b1c98dd7689fb8ec11d242b123dc9b',
    mask: '437b9aec36',
  },
  {
    aes: true,
    key: '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
    sample: '6bc1bee22e409f96e93d7e117393172a',
    mask: 'f3eed1bdb5',
  },
  {
    aes: false,
    key: '25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4',
    sample: '5e5cd55c41f69080575d7999c25a5bfb',
    mask: 'aefefe7d03',
  },
] as const;

const TAG_OCTETS = 16;

/** Whether these ciphers give what the vectors say, twice with each key, and refuse an altered packet: what was wrong, if anything. */
export function selfTest(ciphers: PacketCiphers): string | undefined {
  for (const vector of AEADS) if (!aeadWorks(ciphers, vector)) return vector.name;
  for (const { aes, key, sample, mask } of MASKS) {
    const protection = ciphers.headerProtection(aes, octets(key));
    for (let round = 0; round < 2; round++)
      if (!equalOctets(protection.mask(octets(sample), 0).subarray(0, 5), octets(mask)))
        return aes ? 'AES header protection' : 'ChaCha20 header protection';
    protection.dispose();
  }
  return undefined;
}

function aeadWorks(ciphers: PacketCiphers, vector: AeadVector): boolean {
  const [key, nonce, header, text, sealed] = [
    octets(vector.key),
    octets(vector.nonce),
    octets(vector.header),
    octets(vector.text),
    octets(vector.sealed),
  ];
  const aead = ciphers.aead(vector.name, key);
  const end = header.length + text.length;
  for (let round = 0; round < 2; round++) {
    const packet = new Uint8Array(end + TAG_OCTETS);
    packet.set(header);
    packet.set(text, header.length);
    aead.seal(nonce, packet, 0, header.length, end);
    if (!equalOctets(packet.subarray(header.length), sealed)) return false;
    const opened = aead.open(nonce, header, packet, header.length, end);
    if (opened === undefined || !equalOctets(opened, text)) return false;
    packet[packet.length - 1]! ^= 1;
    if (aead.open(nonce, header, packet, header.length, end) !== undefined) return false;
  }
  aead.dispose();
  return true;
}

function octets(hex: string): Uint8Array {
  return fromHex(hex) ?? new Uint8Array(0);
}
