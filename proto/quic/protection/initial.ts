import { CipherSuite, hkdfExpandLabel, hkdfExtract } from '../../tls/index.ts';
import { PacketKeys } from './packet-keys.ts';

/** RFC 9001 §5.2, for version 1. */
const INITIAL_SALT = Uint8Array.from([
  0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb,
  0x7f, 0x0a,
]);
const EMPTY = new Uint8Array(0);

/** Traffic secrets of Initial packets, from the Destination CID of the client's first one (RFC 9001 §5.2). */
export function deriveInitialSecrets(destinationConnectionId: Uint8Array): {
  client: Uint8Array;
  server: Uint8Array;
} {
  const secret = hkdfExtract(INITIAL_SALT, destinationConnectionId);
  return {
    client: hkdfExpandLabel(secret, 'client in', EMPTY, 32),
    server: hkdfExpandLabel(secret, 'server in', EMPTY, 32),
  };
}

/** Keys that protect what the client and what the server send in Initial packets. After a Retry they are made anew. */
export function deriveInitialKeys(destinationConnectionId: Uint8Array): {
  client: PacketKeys;
  server: PacketKeys;
} {
  const { client, server } = deriveInitialSecrets(destinationConnectionId);
  return {
    client: new PacketKeys(CipherSuite.TLS_AES_128_GCM_SHA256, client),
    server: new PacketKeys(CipherSuite.TLS_AES_128_GCM_SHA256, server),
  };
}
