import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { docTables, ROOT, TABLE_PAGES, withTables } from './doc-tables.ts';

/** Writes the tables of `docs/` that are made from the code. */
const tables = await docTables();
for (const path of TABLE_PAGES) {
  const full = join(ROOT, path);
  writeFileSync(full, withTables(readFileSync(full, 'utf8'), tables));
}
