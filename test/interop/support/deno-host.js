// Run by Deno: takes one call of w3c-cases.js per line on stdin, answers each with a line of JSON on stdout.
import process from 'node:process';
import { createInterface } from 'node:readline';
import './w3c-cases.js';

const answer = (line) => Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));

for await (const line of createInterface({ input: process.stdin })) {
  const { call, name, input } = JSON.parse(line);
  // Not awaited: a call may run while the next one is asked for.
  Promise.resolve()
    .then(() => interop[name](input))
    .then(
      (value) => answer({ call, value }),
      (error) => answer({ call, error: `${error}\n${error?.stack ?? ''}` }),
    );
}
Deno.exit(0);
