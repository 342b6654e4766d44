/** An order book, as an application keeps it. */
import type { DataMessage } from '../exchange/market.js';

/** The levels of one channel, as an application keeps them. */
export class Book {
  seq = 0;
  readonly #sides = { bids: new Map<number, number>(), asks: new Map<number, number>() };

  take({ type, seq, side, price, size, bids, asks }: DataMessage): void {
    this.seq = seq;
    if (type === 'snapshot') {
      this.#sides.bids = new Map(bids as [number, number][]);
      this.#sides.asks = new Map(asks as [number, number][]);
      return;
    }
    const levels = this.#sides[side as 'bids' | 'asks'];
    if (size === 0) levels.delete(price as number);
    else levels.set(price as number, size as number);
  }

  get levels(): unknown {
    const sorted = (levels: Map<number, number>): unknown => [...levels].sort(([a], [b]) => a - b);
    return { seq: this.seq, bids: sorted(this.#sides.bids), asks: sorted(this.#sides.asks) };
  }
}
