/**
 * Equal blocks of linear memory, last in, first out: the block given back last is the one still in the cache,
 * and pages that were never needed are never touched.
 */
export class BlockPool {
  readonly #free: number[] = [];
  #next: number;
  readonly #end: number;
  readonly #size: number;

  constructor(start: number, size: number, count: number) {
    this.#next = start;
    this.#size = size;
    this.#end = start + size * count;
  }

  /** The address of a block, or 0 when all are taken. */
  take(): number {
    const freed = this.#free.pop();
    if (freed !== undefined) return freed;
    if (this.#next === this.#end) return 0;
    const block = this.#next;
    this.#next += this.#size;
    return block;
  }

  /** 0 stands for none. */
  give(block: number): void {
    if (block !== 0) this.#free.push(block);
  }

  /** Blocks that can still be taken. */
  get available(): number {
    return this.#free.length + (this.#end - this.#next) / this.#size;
  }
}
