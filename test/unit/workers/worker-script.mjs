// A worker as small as can be: says that it is ready, and does what its arguments say.
const index = process.env.PARLEY_WORKER;
const [, , what = ''] = process.argv;
if (what === 'fails' && index === '1') process.exit(3);
const timer = setInterval(() => {}, 1000);
process.on('message', ({ id, request }) => {
  if (request.path === '/die') {
    if (request.query === index) process.exit(7);
    return;
  }
  const body =
    request.path === '/metrics' ? `# HELP a_total A\n# TYPE a_total counter\na_total ${index}\n` : index;
  process.send({ type: 'answer', id, answer: { status: 200, contentType: 'text/plain', body } });
});
process.on('SIGHUP', () => process.send({ type: 'ready' }));
process.on('SIGTERM', () => {
  clearInterval(timer);
  process.exit(0);
});
process.on('disconnect', () => process.exit(0));
process.send({ type: 'ready' });
