/** Time, as this layer sees it: given from outside, so that a test can make hours pass at once. */

export interface Clock {
  /** ms from any fixed point; never goes back. */
  now(): number;
  /** Calls `callback` after `ms`, unless what is returned is called before. */
  after(ms: number, callback: () => void): () => void;
}

/** What `setTimeout` takes at most; it fires at once for more. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const end = performance.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const left = end - performance.now();
      timer = left > LONGEST ? setTimeout(wait, LONGEST) : setTimeout(callback, Math.max(0, left));
    };
    wait();
    return () => clearTimeout(timer);
  },
};
