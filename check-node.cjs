// In syntax that Node 6 knows, and without imports: everything else here needs a newer Node.
const { node } = process.versions;
const wanted = require('./package.json').engines.node.replace('>=', '');
const [major, minor] = node.split('.').map(Number);
const [needsMajor, needsMinor] = wanted.split('.').map(Number);
if (major < needsMajor || (major === needsMajor && minor < needsMinor)) {
  process.stderr.write(`Parley needs Node ${wanted} or newer, and this is Node ${node}.\n`);
  process.exit(1);
}
