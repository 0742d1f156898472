import { describe, expect, it } from 'vitest';
import { printSectionTable, sectionTable } from '../../support/section-table.ts';

/**
 * Sections that sources cite and no test names. The list may only grow shorter: who decides a new rule names its section in a test,
 * and who tests one of these takes it out.
 */
const UNTESTED: ReadonlySet<string> = new Set(['RFC 7464 §2.2', 'RFC 7600 §4.8']);

const table = sectionTable();

describe('every rule that is decided has a test that names it', () => {
  it('no section is cited in a source without a test, beyond those that were at first', () => {
    const added = table.untested.filter((section) => !UNTESTED.has(section));
    expect(added.map((section) => `${section}: ${table.cited.get(section)?.join(' ')}`)).toEqual([]);
    expect(table.untested.length).toBeLessThanOrEqual(UNTESTED.size);
  });

  it('the scan sees the tests: RFC 9000 is named in a hundred sections and more', () => {
    const sections = [...table.tests.keys()].filter((section) => section.startsWith('RFC 9000 §'));
    expect(sections.length).toBeGreaterThan(100);
    expect(table.tests.get('RFC 9000 §13.1')?.some((name) => name.includes('never sent'))).toBe(true);
  });

  it('a section counts for the document before it, in names, in rows of each and in comments', () => {
    const { tests, cited } = table;
    expect(tests.has('RFC 9000 §19.13')).toBe(true);
    expect(tests.has('RFC 9204 §4.5.6')).toBe(true);
    expect(cited.get('RFC 9000 §8.1')).toContain('proto/quic/endpoint/acceptor.ts');
  });

  it('prints a line for each section and the count for each document', () => {
    const text = printSectionTable(table, false);
    expect(text).toMatch(/^RFC 9000 §13\.1 .*never sent/m);
    expect(text).toMatch(/^RFC 9000 +[0-9]+ +[0-9]+$/m);
  });
});
