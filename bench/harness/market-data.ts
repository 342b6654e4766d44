/**
 * What an exchange sends, as JSON: order-book deltas, trades and tickers of some instruments, the same for each seed.
 * They repeat themselves as feeds do: names, symbols, and prices that stay near each other.
 */

/** A sequence of messages that is sent over and over; each differs from every other. */
export interface MarketData {
  readonly label: string;
  readonly messages: readonly string[];
}

/** Mostly small: 150 to 700 bytes. */
export function deltas(count = 4096): MarketData {
  const market = new Market(1);
  const next = (): string => {
    const kind = market.below(10);
    if (kind < 6) return market.delta(3, 24);
    return kind < 9 ? market.trade() : market.ticker();
  };
  return { label: '150–700 B', messages: between(count, 150, 700, next) };
}

/** All sizes from 100 bytes to 4 KiB. */
export function mixed(count = 2048): MarketData {
  const market = new Market(2);
  const next = (): string => {
    const kind = market.below(8);
    if (kind < 3) return market.delta(1, 20);
    if (kind < 5) return market.delta(20, 130);
    return kind < 7 ? market.trade() : market.ticker();
  };
  return { label: '100 B–4 KiB', messages: between(count, 100, 4096, next) };
}

/** Whole order books of 1 MiB. */
export function snapshots(count = 4): MarketData {
  const market = new Market(3);
  return {
    label: 'snapshot 1 MiB',
    messages: Array.from({ length: count }, () => market.snapshot(1024 * 1024)),
  };
}

function between(count: number, least: number, most: number, next: () => string): string[] {
  const messages: string[] = [];
  while (messages.length < count) {
    const message = next();
    if (message.length >= least && message.length <= most) messages.push(message);
  }
  return messages;
}

const BASES = ['BTC', 'ETH', 'SOL', 'XRP', 'DOGE', 'ADA', 'AVAX', 'LINK', 'DOT', 'LTC'];
const QUOTES = ['USDT', 'USDC', 'EUR'];

interface Instrument {
  symbol: string;
  /** In ticks. */
  price: number;
  decimals: number;
  update: number;
  trade: number;
}

class Market {
  readonly #instruments: Instrument[];
  #state: number;
  #time = 1_763_640_000_000;

  constructor(seed: number) {
    this.#state = seed;
    this.#instruments = BASES.flatMap((base, i) =>
      QUOTES.map((quote, j) => ({
        symbol: base + quote,
        price: 10_000_000 / (i + 1) + j * 1_000,
        decimals: i < 3 ? 2 : 4,
        update: 1_000_000_000 * (i + 1) + j,
        trade: 100_000_000 * (i + 1) + j,
      })),
    );
  }

  /** A whole number from 0 to below `bound` (mulberry32). */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  }

  delta(fewest: number, most: number): string {
    const instrument = this.#pick();
    const levels = fewest + this.below(most - fewest + 1);
    const bids = this.below(levels + 1);
    const first = instrument.update + 1;
    instrument.update += levels;
    return JSON.stringify({
      e: 'depthUpdate',
      E: this.#now(),
      s: instrument.symbol,
      U: first,
      u: instrument.update,
      b: this.#levels(instrument, bids, -1),
      a: this.#levels(instrument, levels - bids, 1),
    });
  }

  trade(): string {
    const instrument = this.#pick();
    instrument.trade++;
    const time = this.#now();
    return JSON.stringify({
      e: 'trade',
      E: time,
      s: instrument.symbol,
      t: instrument.trade,
      p: this.#price(instrument, 0),
      q: this.#quantity(),
      b: instrument.update * 7,
      a: instrument.update * 7 + this.below(999),
      T: time - this.below(4),
      m: this.below(2) === 0,
      M: true,
    });
  }

  ticker(): string {
    const instrument = this.#pick();
    const time = this.#now();
    const price = (offset: number): string => this.#price(instrument, offset);
    return JSON.stringify({
      e: '24hrTicker',
      E: time,
      s: instrument.symbol,
      p: price(-instrument.price + this.below(5_000)),
      P: (this.below(2_000) / 1_000 - 1).toFixed(3),
      w: price(this.below(500)),
      x: price(-this.below(500)),
      c: price(0),
      Q: this.#quantity(),
      b: price(-1),
      B: this.#quantity(),
      a: price(1),
      A: this.#quantity(),
      o: price(-this.below(900)),
      h: price(2_000),
      l: price(-2_000),
      v: this.#quantity(),
      q: this.#quantity(),
      O: time - 86_400_000,
      C: time,
      F: instrument.trade - 1_000_000,
      L: instrument.trade,
      n: 1_000_001,
    });
  }

  snapshot(byteLength: number): string {
    const instrument = this.#pick();
    instrument.update++;
    const start = `{"lastUpdateId":${instrument.update},"symbol":"${instrument.symbol}","bids":[`;
    const levels: string[] = [];
    let length = start.length + 2;
    for (let depth = 1; ; depth++) {
      const level = `["${this.#price(instrument, -depth)}","${this.#quantity()}"]`;
      if (length + level.length + 1 > byteLength) break;
      levels.push(level);
      length += level.length + 1;
    }
    return `${start}${levels.join(',')}]}`.padEnd(byteLength, ' ');
  }

  #now(): number {
    this.#time += this.below(3);
    return this.#time;
  }

  /** A few instruments make most of the news. */
  #pick(): Instrument {
    const instrument = this.#instruments[Math.min(this.below(30), this.below(30), this.below(30))];
    instrument.price += this.below(21) - 10;
    return instrument;
  }

  #price({ price, decimals }: Instrument, offset: number): string {
    return ((price + offset) / 10 ** decimals).toFixed(decimals === 2 ? 2 : 5);
  }

  #quantity(): string {
    return (this.below(this.below(4) === 0 ? 5_000_000 : 90_000) / 100_000).toFixed(5);
  }

  #levels(instrument: Instrument, count: number, side: number): string[][] {
    let depth = 0;
    return Array.from({ length: count }, () => {
      depth += 1 + this.below(12);
      // A level that has gone is told with no quantity.
      const quantity = this.below(4) === 0 ? '0.00000' : this.#quantity();
      return [this.#price(instrument, side * depth), quantity];
    });
  }
}
