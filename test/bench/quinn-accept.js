// Run by Deno, whose QUIC is quinn: a server that shakes hands and keeps nothing, to compare with.
const [cert, key] = Deno.args;
const endpoint = new Deno.QuicEndpoint({ hostname: '127.0.0.1', port: 0 });
const listener = endpoint.listen({
  cert: Deno.readTextFileSync(cert),
  key: Deno.readTextFileSync(key),
  alpnProtocols: ['parley-bench'],
});
await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify({ port: endpoint.addr.port })}\n`));
for (;;) await listener.accept().catch(() => {});
