import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { retryAfter } from '../../src/protocol/retry-after.js';

// RFC 9110 §5.6.7 writes this moment in all three forms.
const MOMENT = Date.UTC(1994, 10, 6, 8, 49, 37);

describe('RFC 9110 §10.2.3 Retry-After', () => {
  it('a number of seconds is a delay in ms', () => {
    assert.equal(retryAfter('120', MOMENT), 120_000);
    assert.equal(retryAfter('0', MOMENT), 0);
    assert.equal(retryAfter('007', MOMENT), 7_000);
  });

  it('a number of seconds beyond any date stays a safe integer', () => {
    assert.equal(retryAfter('9'.repeat(400), MOMENT), Number.MAX_SAFE_INTEGER);
  });

  for (const [form, value] of [
    ['IMF-fixdate', 'Sun, 06 Nov 1994 08:49:37 GMT'],
    ['rfc850-date', 'Sunday, 06-Nov-94 08:49:37 GMT'],
    ['asctime-date', 'Sun Nov  6 08:49:37 1994'],
  ]) {
    it(`an ${form} is the time until then`, () => assert.equal(retryAfter(value, MOMENT - 90_000), 90_000));
    it(`an ${form} that has passed is no delay`, () => assert.equal(retryAfter(value, MOMENT + 90_000), 0));
  }

  it('an asctime-date may have two digits for the day', () => {
    assert.equal(retryAfter('Wed Nov 16 08:49:37 1994', MOMENT), 10 * 86_400_000);
  });

  it('RFC 9110 §5.6.7: a leap second is a second later', () => {
    assert.equal(retryAfter('Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2016, 11, 31, 23, 59, 59)), 1_000);
  });

  it('RFC 9110 §5.6.7: a two-digit year lies at most 50 years ahead', () => {
    const from2026 = Date.UTC(2026, 0, 1);
    assert.equal(retryAfter('Wednesday, 01-Jan-76 00:00:00 GMT', from2026), Date.UTC(2076, 0, 1) - from2026);
    assert.equal(retryAfter('Saturday, 01-Jan-77 00:00:00 GMT', from2026), 0);
    const from2099 = Date.UTC(2099, 11, 31, 23, 59, 59);
    assert.equal(retryAfter('Friday, 01-Jan-00 00:00:00 GMT', from2099), 1_000);
  });

  it('a year below 100 written with four digits is that year', () => {
    const year50 = new Date(0).setUTCFullYear(50, 0, 1);
    assert.equal(retryAfter('Sat, 01 Jan 0050 00:00:00 GMT', year50 - 1_000), 1_000);
  });

  const garbage: [title: string, value: string | undefined][] = [
    ['nothing', undefined],
    ['an empty value', ''],
    ['a negative number', '-1'],
    ['a fraction', '1.5'],
    ['a number with a unit', '5s'],
    ['two numbers, as two lines are joined', '1, 2'],
    ['an ISO date', '1994-11-06T08:49:37Z'],
    ['another time zone', 'Sun, 06 Nov 1994 08:49:37 CET'],
    ['an unknown month', 'Sun, 06 Foo 1994 08:49:37 GMT'],
    ['an unknown day of the week', 'Foo, 06 Nov 1994 08:49:37 GMT'],
    ['a day that the month has not', 'Wed, 31 Feb 1994 08:49:37 GMT'],
    ['day 0', 'Wed, 00 Feb 1994 08:49:37 GMT'],
    ['an hour that no day has', 'Sun, 06 Nov 1994 24:49:37 GMT'],
    ['a minute that no hour has', 'Sun, 06 Nov 1994 08:60:37 GMT'],
    ['a second that no minute has', 'Sun, 06 Nov 1994 08:49:61 GMT'],
    ['something behind the date', 'Sun, 06 Nov 1994 08:49:37 GMT '],
  ];
  for (const [title, value] of garbage) {
    it(`${title} is no delay at all`, () => assert.equal(retryAfter(value, MOMENT - 90_000), undefined));
  }

  it('every second that Date can write as an HTTP-date is read as that second', () => {
    const latest = Date.UTC(9999, 11, 31, 23, 59, 59) / 1000;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: latest }), (second) => {
        assert.equal(retryAfter(new Date(second * 1000).toUTCString(), 0), second * 1000);
      }),
    );
  });
});
