/** The inflater's first calls, made while nobody waits for them. */

import type { Codec } from './codec.js';
import { INFLATE_INPUT, InflateResume, LONGEST_WINDOW, WORKSPACE } from './layout.js';

/** A block with codes of its own, and one with the fixed ones. What they say does not matter. */
const SAMPLE =
  'jdPLasMwEAXQfT9j1mKYh0YjeZm2X9B4FbxIiaHLQLML/fdi5CQqdV1reYW4R68rjNDBaTxfPvrz6XgZIcArdOwqTNNg0QCf0MFu' +
  '/9y/vewhQA+dZSEuGiN7gHfoDgcozqIYCQIQEisRDKHGhDzH04BhCHC8rzEsPye/nq7/oURoDRVzi7Jbu4k9UJwwTzFjWUBllLrG' +
  'fTNKp7P4G+WlRd3bSb1BKdoUK+bfKKU6yWhxMypyXEEZU4vKj4LSoKgehqEvoKRuRFB5M8qY11CRG5TO7YKU+IGiVJ+NY1pAzVeu' +
  'SHkzKlFeQ7m0KK7tgubNQyfFNMUFbQHl9XMoZruhvgGqVsovULJSKsjPS1eqrUbmAAA=';

const CALLS = 3_000;
const CALLS_A_TURN = 50;

const warm = new WeakSet<Codec>();

/**
 * Has the engine compile and optimise the inflater, in small slices between other work: its first call takes about
 * 0.3 ms, and the next 300 to 2 500 are slow. Happens once a thread; the first `Inflater` asks for it.
 */
export function warmUpInflater(codec: Codec): void {
  if (warm.has(codec)) return;
  warm.add(codec);
  codec.prepareInflate();
  const sample = Buffer.from(SAMPLE, 'base64');
  let calls = 0;
  const turn = (): void => {
    sample.copy(codec.memory, INFLATE_INPUT);
    for (let i = 0; i < CALLS_A_TURN; i++) {
      const end = INFLATE_INPUT + sample.length;
      codec.inflate(
        INFLATE_INPUT,
        end,
        WORKSPACE,
        WORKSPACE + LONGEST_WINDOW,
        WORKSPACE,
        LONGEST_WINDOW,
        InflateResume.start,
      );
    }
    calls += CALLS_A_TURN;
    if (calls < CALLS) setImmediate(turn).unref();
  };
  setImmediate(turn).unref();
}
