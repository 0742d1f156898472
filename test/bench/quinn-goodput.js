// Run by Deno, whose QUIC is quinn: one end of a bulk download, as congestion-peer.py is for the kernel's TCP.
const [role, ...args] = Deno.args;
const ALPN = 'parley-bench';
const print = (text) => Deno.stdout.write(new TextEncoder().encode(`${text}\n`));

async function serve(cert, key, hostname, port, congestionControl) {
  const endpoint = new Deno.QuicEndpoint({ hostname, port: Number(port) });
  const listener = endpoint.listen({
    cert: Deno.readTextFileSync(cert),
    key: Deno.readTextFileSync(key),
    alpnProtocols: [ALPN],
    congestionControl,
  });
  await print('ready');
  const connection = await listener.accept();
  const stream = await connection.createUnidirectionalStream();
  const writer = stream.getWriter();
  const chunk = new Uint8Array(16_384);
  for (;;) await writer.write(chunk);
}

async function get(hostname, port, skip, seconds) {
  const connection = await Deno.connectQuic({
    hostname,
    port: Number(port),
    serverName: 'localhost',
    alpnProtocols: [ALPN],
  });
  const begin = performance.now() + Number(skip) * 1000;
  const end = begin + Number(seconds) * 1000;
  let octets = 0;
  for await (const stream of connection.incomingUnidirectionalStreams) {
    for await (const part of stream) {
      const now = performance.now();
      if (now >= end) break;
      if (now >= begin) octets += part.length;
    }
    break;
  }
  await print(octets);
  Deno.exit(0);
}

if (role === 'serve') await serve(...args);
else await get(...args);
