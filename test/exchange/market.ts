/** The data of the exchange: trades and order books, each channel with ids of its own, without a hole. */

export interface DataMessage {
  channel: string;
  type: 'trade' | 'snapshot' | 'update';
  seq: number;
  /** The id before this one; of a snapshot, none. */
  previous?: number;
  [field: string]: unknown;
}

type Levels = Map<number, number>;

const REMEMBERED = 8;

/** The channels `trades.X` and `book.X`; any name before the dot that is not `book` trades. */
export class Market {
  readonly #sequences = new Map<string, number>();
  readonly #recent = new Map<string, DataMessage[]>();
  readonly #books = new Map<string, { bids: Levels; asks: Levels }>();

  /** The last id of a channel. */
  sequence(channel: string): number {
    return this.#sequences.get(channel) ?? 0;
  }

  /** The next message of a channel. */
  next(channel: string): DataMessage {
    const message = this.#make(channel);
    const recent = this.#recent.get(channel) ?? [];
    this.#recent.set(channel, recent);
    if (recent.push(message) > REMEMBERED) recent.shift();
    return message;
  }

  /** The last so many of a channel, oldest first: eight at most. */
  recent(channel: string, count: number): DataMessage[] {
    return count === 0 ? [] : (this.#recent.get(channel) ?? []).slice(-count);
  }

  #make(channel: string): DataMessage {
    const previous = this.sequence(channel);
    const seq = previous + 1;
    this.#sequences.set(channel, seq);
    if (!isBook(channel)) return { channel, type: 'trade', seq, previous, price: 100 + (seq % 7), size: 1 };
    const side = seq % 2 === 0 ? 'bids' : 'asks';
    const price = side === 'bids' ? 100 - (seq % 10) : 101 + (seq % 10);
    const size = seq % 5;
    const levels = this.#book(channel)[side];
    if (size === 0) levels.delete(price);
    else levels.set(price, size);
    return { channel, type: 'update', seq, previous, side, price, size };
  }

  /** The whole book as of the last id; undefined for a channel that has none. */
  snapshot(channel: string): DataMessage | undefined {
    if (!isBook(channel)) return undefined;
    const { bids, asks } = this.#book(channel);
    return { channel, type: 'snapshot', seq: this.sequence(channel), bids: [...bids], asks: [...asks] };
  }

  #book(channel: string): { bids: Levels; asks: Levels } {
    let book = this.#books.get(channel);
    if (book === undefined) {
      book = { bids: new Map(), asks: new Map() };
      this.#books.set(channel, book);
    }
    return book;
  }
}

function isBook(channel: string): boolean {
  return channel.startsWith('book.');
}
