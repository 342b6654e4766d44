/** Addresses: resolved for every attempt, those that failed lately tried last. */
import assert from 'node:assert/strict';
import type { LookupFunction } from 'node:net';
import { describe, test } from 'node:test';
import { AddressRotation } from '../../src/persistent/address-rotation.js';

const of = (...addresses: string[]) => addresses.map((address) => ({ address, family: 4 }));

describe('address rotation', () => {
  test('the order of the resolver, until one fails; then those that failed come last, the latest at the end', () => {
    const rotation = new AddressRotation();
    assert.deepEqual(rotation.order(of('1', '2', '3')), of('1', '2', '3'));
    rotation.failed('1');
    assert.deepEqual(rotation.order(of('1', '2', '3')), of('2', '3', '1'));
    rotation.failed('3');
    rotation.failed('1');
    assert.deepEqual(rotation.order(of('1', '2', '3')), of('2', '3', '1'));
    rotation.served('1');
    assert.deepEqual(rotation.order(of('1', '2', '3')), of('1', '2', '3'));
    rotation.failed(undefined);
  });

  test('failures are remembered up to a bound', () => {
    const rotation = new AddressRotation();
    for (let i = 0; i < 1_000; i++) rotation.failed(String(i));
    assert.deepEqual(rotation.order(of('999', '0')), of('0', '999'));
    assert.deepEqual(rotation.order(of('999', '936')), of('936', '999'));
  });

  test('a lookup asks anew every time, and passes on errors and single addresses', () => {
    const rotation = new AddressRotation();
    rotation.failed('1');
    let asked = 0;
    const resolve: LookupFunction = (host, { all }, callback) => {
      asked++;
      if (host === 'nowhere') callback(new Error('ENOTFOUND'), []);
      else if (all) callback(null, of('1', '2'));
      else callback(null, '1', 4);
    };
    const lookup = rotation.lookup(resolve);
    const answers: unknown[] = [];
    lookup('there', { all: true }, (error, found) => answers.push(error ?? found));
    lookup('there', { all: false }, (error, found) => answers.push(error ?? found));
    lookup('nowhere', { all: true }, (error) => answers.push(error?.message));
    assert.deepEqual(answers, [of('2', '1'), '1', 'ENOTFOUND']);
    assert.equal(asked, 3);
  });
});
