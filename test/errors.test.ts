/** The errors of this package: one hierarchy, and one table in docs/errors.md that holds every code. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { InflateError } from '../src/codec/inflater.js';
import { FrameError } from '../src/codec/layout.js';
import * as errors from '../src/errors.js';
import * as heartwire from '../src/index.js';
import { parseClosePayload } from '../src/protocol/closing-handshake.js';
import { frameError, inflateError, tooManyFragments } from '../src/protocol/frame-error.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const document = readFileSync(join(root, 'docs', 'errors.md'), 'utf8');
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(root, 'src', file), 'utf8'));

interface Row {
  code: string;
  classes: string[];
  closeCode: number | undefined;
  sections: string[];
  /** Every cell, for what is asked of all. */
  cells: string[];
}

/** The cells of every row below a heading of these columns, wherever in the document. */
function table(columns: readonly string[]): string[][] {
  const heading = `| ${columns.join(' | ')} |\n`;
  const rows = document.split(heading).slice(1);
  return rows.flatMap((part) => {
    const [separator, ...lines] = part.slice(0, `${part}\n\n`.indexOf('\n\n')).split('\n');
    assert.match(separator, /^\|(?:---\|)+$/);
    return lines
      .filter((line) => line !== '')
      .map((line) =>
        line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim()),
      );
  });
}

const COLUMNS = ['code', 'class', 'meaning', 'close code', 'RFC 6455', 'what to do'];
const rows: Row[] = table(COLUMNS).map((cells) => ({
  code: cells[0].replaceAll('`', ''),
  classes: [...cells[1].matchAll(/`(\w+)`/g)].map(([, name]) => name),
  closeCode: cells[3] === '' ? undefined : Number(cells[3]),
  sections: [...cells[4].matchAll(/§([\d.]+)/g)].map(([, section]) => section),
  cells,
}));

function rowOf(code: string, className: string): Row {
  const row = rows.find((each) => each.code === code && each.classes.includes(className));
  assert.ok(row, `no row for ${code} as a ${className}`);
  return row;
}

/** `'ERR_SSL_'` is none: the beginning of OpenSSL's own. */
const CODE = '(ERR_[A-Z0-9]+(?:_[A-Z0-9]+)*)';

function found(pattern: RegExp): RegExpExecArray[] {
  return sources.flatMap((source) => [...source.matchAll(pattern)]);
}

const sorted = (values: Iterable<string>): string[] => [...new Set(values)].sort();

const thrown = sorted(found(new RegExp(`'${CODE}'`, 'g')).map(([, code]) => code));
const classes = Object.entries(errors);

describe('docs/errors.md', () => {
  test('every code in src/ has a row, and every row a code in src/', () => {
    assert.deepEqual(sorted(rows.map(({ code }) => code)), thrown);
  });

  test('every code in a comment in src/ is one that is used', () => {
    const mentioned = sorted(found(new RegExp(`\`${CODE}\``, 'g')).map(([, code]) => code));
    assert.ok(mentioned.includes('ERR_NOT_OPEN'));
    assert.deepEqual(
      mentioned.filter((code) => !thrown.includes(code)),
      [],
    );
  });

  test('every row is complete, and none is there twice', () => {
    for (const { cells, code } of rows) {
      assert.equal(cells.length, COLUMNS.length, `${code}: a cell too many or too few`);
      for (const column of ['class', 'meaning', 'what to do']) {
        assert.notEqual(cells[COLUMNS.indexOf(column)], '', `${code}: no ${column}`);
      }
    }
    const keys = rows.flatMap(({ code, classes }) => classes.map((name) => `${code} ${name}`));
    assert.equal(new Set(keys).size, keys.length);
  });

  test('the class in a row is the class that src/ makes with that code', () => {
    const made = found(new RegExp(`new (\\w+Error)\\(\\s*'${CODE}'`, 'g'));
    assert.ok(made.length >= 20, `only ${made.length} found`);
    for (const [, className, code] of made) rowOf(code, className);
  });

  test('every class has a row of its own, and no other is named', () => {
    const documented = table(['class', 'what failed', 'what it carries besides `code`', 'try again?']);
    assert.deepEqual(
      documented.map(([name]) => name.replaceAll('`', '')).sort(),
      classes.map(([name]) => name).sort(),
    );
    const named = sorted(rows.flatMap((row) => row.classes));
    assert.deepEqual(
      named.filter((name) => !(name in errors)),
      [],
    );
  });

  test('RFC 6455 §7.1.7, RFC 7692: the close codes and sections are those of the errors themselves', () => {
    const reserved = Buffer.of(1006 >> 8, 1006 & 0xff);
    const notUtf8 = Buffer.of(1000 >> 8, 1000 & 0xff, 0xff);
    const badClosePayloads = [Buffer.of(3), reserved, notUtf8].map((payload) => {
      const parsed = parseClosePayload(payload);
      assert.ok('error' in parsed);
      return parsed.error;
    });
    const frameErrors = Object.values(FrameError).filter(
      (error): error is FrameError => typeof error === 'number' && error !== FrameError.none,
    );
    const all = [
      ...frameErrors.map(frameError),
      inflateError(InflateError.corrupt),
      tooManyFragments(),
      ...badClosePayloads,
    ];
    for (const { code, closeCode, section } of all) {
      const row = rowOf(code, 'ProtocolError');
      assert.equal(row.closeCode, closeCode, code);
      assert.deepEqual(row.sections, [section], code);
    }
    const withCloseCode = rows.filter((row) => row.closeCode !== undefined);
    assert.deepEqual(sorted(withCloseCode.map(({ code }) => code)), sorted(all.map(({ code }) => code)));
    assert.deepEqual(
      rows.filter((row) => row.classes.includes('ProtocolError')),
      withCloseCode,
    );
  });

  test('RFC 6455 §4.1: the sections that a HandshakeError names are in its row', () => {
    const named = found(new RegExp(`'${CODE}',[^;]*?section: '([\\d.]+)'`, 'g'));
    assert.ok(named.length >= 8, `only ${named.length} found`);
    for (const [, code, section] of named) {
      assert.ok(rowOf(code, 'HandshakeError').sections.includes(section), `${code}: §${section}`);
    }
  });
});

describe('the hierarchy', () => {
  test('every class is a HeartwireError, and public under its name', () => {
    const names: Record<string, unknown> = { ...heartwire };
    for (const [name, errorClass] of classes) {
      assert.equal(names[name], errorClass, name);
      assert.ok(
        errorClass === errors.HeartwireError || errorClass.prototype instanceof errors.HeartwireError,
        name,
      );
    }
  });

  test('an error says its class, code and cause; absent fields are absent', () => {
    const cause = new Error('below');
    const samples = [
      new errors.HeartwireError('ERR_X', 'what', { cause }),
      new errors.UsageError('ERR_X', 'what', { cause }),
      new errors.HandshakeError('ERR_X', 'what', { cause }),
      new errors.ConnectionLostError('ERR_X', 'what', { cause }),
    ];
    for (const error of samples) {
      assert.equal(error.name, error.constructor.name);
      assert.match(String(error.stack), new RegExp(`${error.constructor.name}: what`));
      assert.equal(error.code, 'ERR_X');
      assert.equal(error.message, 'what');
      assert.equal(error.cause, cause);
      for (const field of ['closeCode', 'statusCode', 'section']) assert.ok(!(field in error), field);
    }
    assert.ok(!('cause' in new errors.UsageError('ERR_X', 'what')));
  });

  test('a ProtocolError names the section that was broken and the status code the peer is sent', () => {
    const error = new errors.ProtocolError('ERR_X', 'what', '5.2', 1002);
    const { name, code, message, section, closeCode } = error;
    assert.deepEqual(
      { name, code, message, section, closeCode },
      {
        name: 'ProtocolError',
        code: 'ERR_X',
        message: 'what (RFC 6455 §5.2)',
        section: '5.2',
        closeCode: 1002,
      },
    );
  });

  test("a HandshakeError carries what the server answered, and RFC 6455's section where it broke it", () => {
    const response = {
      statusCode: 429,
      headers: { 'retry-after': '2' },
      body: Buffer.from('later'),
      retryAfter: 2_000,
      section: '4.1',
    };
    const error = new errors.HandshakeError('ERR_X', 'what', response);
    const { statusCode, headers, body, retryAfter, section, attempts } = error;
    assert.deepEqual({ statusCode, headers, body, retryAfter, section }, response);
    assert.deepEqual(attempts, []);
    assert.equal(error.message, 'what (RFC 6455 §4.1)');
  });
});
