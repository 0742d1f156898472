import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { NODE_CIPHERS, type PacketCiphers } from '../../proto/quic/index.ts';

/** OpenSSL's ciphers through koffi. Throws where they do not serve: a missing koffi is a failure here, not a reason to skip. */
export function openSslCiphers(): PacketCiphers {
  const { ciphers, why } = choosePacketCiphers();
  if (ciphers === NODE_CIPHERS) throw new Error(`OpenSSL's packet ciphers do not serve: ${why}`);
  return ciphers;
}

/** The ciphers that pairs, simulations and fuzzers run on: `PARLEY_TEST_CIPHERS=openssl` chooses OpenSSL's. */
export const TEST_CIPHERS: PacketCiphers =
  process.env.PARLEY_TEST_CIPHERS === 'openssl' ? openSslCiphers() : NODE_CIPHERS;
