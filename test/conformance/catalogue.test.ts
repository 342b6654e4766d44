/** README.md tells what is tested where. Here it is held to it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { MUTATIONS } from './mutations.js';

const here = new URL('.', import.meta.url);
const readme = readFileSync(new URL('README.md', here), 'utf8');

/** The rows of the table below a heading, cell by cell, without its own heading. */
function rows(heading: string): string[][] {
  const section = readme.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

interface Named {
  file: string;
  title: string;
}

/** `[5.2-framing](section-5.2-framing.test.ts) the title` */
function named(cell: string): Named {
  const match = /^\[[^\]]+\]\((\S+\.test\.ts)\) (.+)$/.exec(cell);
  assert.ok(match !== null, `names no test: ${cell}`);
  return { file: match[1], title: match[2] };
}

/** The titles of a file that are written out in it: those of describe(), test() and the scenarios. */
function titlesOf(file: string, calls = 'describe|test|scenarios?'): string[] {
  const source = readFileSync(new URL(file, here), 'utf8');
  const pattern = new RegExp(`^\\s*(?:${calls})\\(\\s*(?:'((?:[^'\\\\\\n]|\\\\.)*)'|"([^"\\n]*)"),`, 'gm');
  return [...source.matchAll(pattern)].map(([, single, double]) => (single ?? double).replaceAll("\\'", "'"));
}

describe('README.md', () => {
  const requirements = rows('Requirements');
  const tested = requirements.filter(([, , test]) => test !== '').map(([, , test]) => named(test));

  test('every requirement has a section, and a test and its result, or the reason why there is none', () => {
    assert.ok(requirements.length > 60, 'the table is there');
    for (const [section, requirement, test, result] of requirements) {
      assert.match(section, /^§\d/, requirement);
      if (test === '') assert.match(result, /^(not followed: .|checked in every scenario$)/, requirement);
      else assert.equal(result, 'pass', requirement);
    }
  });

  test('every test that is named exists', () => {
    for (const { file, title } of tested) {
      assert.ok(titlesOf(file).includes(title), `${file} has no test “${title}”`);
    }
  });

  test('every requirement of the catalogue is named', () => {
    const files = readdirSync(here).filter((file) => file.startsWith('section-'));
    assert.ok(files.length > 10, 'the catalogue is there');
    for (const file of files) {
      const missing = titlesOf(file, 'describe').filter(
        (title) => !tested.some((one) => one.file === file && one.title === title),
      );
      assert.deepEqual(missing, [], file);
    }
  });

  test('every mutation is listed with the test that catches it', () => {
    const listed = rows('Mutations').map(([breaks, by]) => ({ breaks, ...named(by) }));
    const known = MUTATIONS.map(({ breaks, caughtBy: [file, title] }) => ({
      breaks,
      file: `section-${file}.test.ts`,
      title,
    }));
    assert.deepEqual(listed, known);
    for (const { file, title } of listed) {
      assert.ok(titlesOf(file, 'describe').includes(title), `${file} has no requirement “${title}”`);
    }
  });
});
