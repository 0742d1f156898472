import { Duplex } from 'node:stream';
import { connect } from 'node:tls';

/** The first octets of a TLS client, as OpenSSL writes them: a ClientHello in one record. */
export function clientHello(servername?: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(octets: Buffer, _encoding, done) {
        resolve(octets);
        done();
      },
    });
    const client = connect({
      socket,
      rejectUnauthorized: false,
      ...(servername !== undefined && { servername }),
    });
    client.on('error', () => {});
  });
}

/** The same handshake octets in records of at most `fragment` octets each. */
export function inRecords(hello: Buffer, fragment: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 5; at < hello.length; at += fragment) {
    const piece = hello.subarray(at, at + fragment);
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 0xff]), piece);
  }
  return Buffer.concat(records);
}

/** A ClientHello with this much padding before its server_name, in records of 16 KiB. */
export function paddedClientHello(hello: Buffer, padding: number): Buffer {
  const handshake = hello.subarray(5);
  let at = 4 + 2 + 32;
  at += 1 + handshake[at]!;
  at += 2 + handshake.readUInt16BE(at);
  at += 1 + handshake[at]!;
  const extensions = handshake.subarray(at + 2);
  const extra = Buffer.alloc(4 + padding);
  // The padding extension (RFC 7685 §3).
  extra.writeUInt16BE(21, 0);
  extra.writeUInt16BE(padding, 2);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(extensions.length + extra.length);
  const body = Buffer.concat([handshake.subarray(4, at), length, extra, extensions]);
  const head = Buffer.from([1, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
  return inRecords(Buffer.concat([Buffer.alloc(5), head, body]), 16_384);
}
