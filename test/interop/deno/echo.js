// Run by Deno, whose WebTransport is quinn's: opens a session, sends `octets` random octets over one bidirectional
// stream, reads them back and prints what it saw as one line of JSON.
const [url, certificateHash, size] = Deno.args;
const hashOctets = Uint8Array.from(certificateHash.match(/../g), (pair) => Number.parseInt(pair, 16));
const hex = (buffer) =>
  Array.from(new Uint8Array(buffer), (octet) => octet.toString(16).padStart(2, '0')).join('');

const session = new WebTransport(url, {
  serverCertificateHashes: [{ algorithm: 'sha-256', value: hashOctets }],
});
await session.ready;

const sent = new Uint8Array(Number(size));
for (let at = 0; at < sent.length; at += 65_536)
  crypto.getRandomValues(sent.subarray(at, Math.min(at + 65_536, sent.length)));

const stream = await session.createBidirectionalStream();
const received = new Uint8Array(sent.length);
let length = 0;
// Until all octets are there, not until the end: Deno's close() sends no FIN (denoland/deno#36822), so none is echoed.
async function read() {
  for await (const chunk of stream.readable) {
    received.set(chunk, length);
    length += chunk.length;
    if (length >= sent.length) return;
  }
}
async function write() {
  const writer = stream.writable.getWriter();
  for (let at = 0; at < sent.length; at += 65_536) await writer.write(sent.subarray(at, at + 65_536));
  await writer.close();
}
await Promise.all([read(), write()]);

await Deno.stdout.write(
  new TextEncoder().encode(
    JSON.stringify({
      length,
      sent: hex(await crypto.subtle.digest('SHA-256', sent)),
      received: hex(await crypto.subtle.digest('SHA-256', received)),
    }),
  ),
);
session.close({ closeCode: 0, reason: 'done' });
Deno.exit(0);
