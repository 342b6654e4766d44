/** Venue limits, as data: each with its origin, and fit to be used. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Fact, type Venue, venues } from '../../src/index.js';
import { TokenBucket } from '../../src/persistent/token-bucket.js';

describe('venues', () => {
  for (const [name, venue] of Object.entries<Venue>(venues)) {
    test(`${name}: every figure has a source, a date and a verdict; its rates are rates`, () => {
      assert.equal(venue.name, name);
      const facts = Object.values(venue).filter((value): value is Fact<unknown> => typeof value === 'object');
      assert.ok(facts.length > 0, 'nothing is known');
      for (const { value, source, date, verified } of facts) {
        assert.notEqual(value, undefined);
        assert.ok(source.length > 5, `source: ${source}`);
        assert.match(date, /^20\d\d-[01]\d-[0-3]\d$/);
        assert.equal(typeof verified, 'boolean');
        // What is from memory or from other programs must not pass for the venue's word.
        if (/nautilus|memory|third party|quotation/.test(source)) assert.equal(verified, false, source);
      }
      for (const rate of [venue.connections, venue.messages]) {
        if (rate !== undefined) assert.ok(new TokenBucket(rate.value, 0).take(0), 'not even one');
      }
    });
  }

  test('Binance counts Pings and Pongs', () => {
    const { countsPings, countsPongs } = venues.binanceSpot.messages.value;
    assert.ok(countsPings && countsPongs, 'it does not');
  });
});
