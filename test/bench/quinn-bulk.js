// Run by Deno, whose QUIC is quinn: one side of a download of one stream, to compare with. `serve` or `get`.
const [role, ...args] = Deno.args;
const ALPN = 'parley-bench';
/** CPU time of all threads, in microseconds; the kernel counts it in hundredths of a second. */
const cpuMicros = () => {
  const stat = Deno.readTextFileSync('/proc/self/stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
};
const report = (figures) => Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(figures)}\n`));

async function serve(cert, key) {
  const endpoint = new Deno.QuicEndpoint({ hostname: '127.0.0.1', port: 0 });
  const listener = endpoint.listen({
    cert: Deno.readTextFileSync(cert),
    key: Deno.readTextFileSync(key),
    alpnProtocols: [ALPN],
  });
  await report({ port: endpoint.addr.port });
  const chunk = crypto.getRandomValues(new Uint8Array(65_536));
  for (;;) {
    const connection = await listener.accept();
    for await (const stream of connection.incomingBidirectionalStreams) {
      const started = cpuMicros();
      let text = '';
      for await (const part of stream.readable.pipeThrough(new TextDecoderStream())) {
        text += part;
        if (text.endsWith('\n')) break;
      }
      const writer = stream.writable.getWriter();
      for (let left = Number(text); left > 0; left -= chunk.length)
        await writer.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
      await writer.close();
      await report({ cpuMicros: cpuMicros() - started });
    }
  }
}

async function get(port, octets) {
  const connection = await Deno.connectQuic({
    hostname: '127.0.0.1',
    port: Number(port),
    serverName: 'localhost',
    alpnProtocols: [ALPN],
  });
  const cpu = cpuMicros();
  const startedMs = performance.now();
  const stream = await connection.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${octets}\n`));
  let received = 0;
  for await (const part of stream.readable) {
    received += part.length;
    if (received >= Number(octets)) break;
  }
  const elapsedMs = performance.now() - startedMs;
  await report({ received, elapsedMs, cpuMicros: cpuMicros() - cpu });
  Deno.exit(0);
}

if (role === 'serve') await serve(args[0], args[1]);
else await get(args[0], args[1]);
