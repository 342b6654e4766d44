/** Making the codec: what it needs of the machine, and whose it is. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Codec, sharedCodec } from '../../src/codec/codec.js';
import { HeartwireError } from '../../src/errors.js';

describe('the codec', () => {
  test('without memory it is ERR_WASM_MEMORY, which names the remedy; the next one who asks may have more luck', (t) => {
    const refusal = new RangeError('could not allocate memory');
    const { Memory } = WebAssembly;
    t.after(() => void Object.assign(WebAssembly, { Memory }));
    Object.assign(WebAssembly, {
      Memory: class {
        constructor() {
          throw refusal;
        }
      },
    });
    for (const make of [() => new Codec(), sharedCodec]) {
      assert.throws(make, (error) => {
        assert.ok(error instanceof HeartwireError, `${error}`);
        assert.deepEqual([error.code, error.cause], ['ERR_WASM_MEMORY', refusal]);
        assert.match(error.message, /ulimit -v unlimited.*--disable-wasm-trap-handler/);
        return true;
      });
    }
    Object.assign(WebAssembly, { Memory });
    assert.equal(sharedCodec(), sharedCodec());
  });
});
