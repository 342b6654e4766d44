/** Says on stderr what is running and how much is left; results go to stdout, unharmed. */
export class Progress {
  readonly #total: number;
  readonly #begin = performance.now();
  #done = -1;

  constructor(total: number) {
    this.#total = total;
  }

  /** A step begins. Where stderr is no terminal the rows themselves are progress enough. */
  next(title: string): void {
    this.#done += 1;
    if (!process.stderr.isTTY) return;
    const seconds = (performance.now() - this.#begin) / 1000;
    const left =
      this.#done === 0 ? '' : `, about ${((seconds / this.#done) * this.#remaining).toFixed(0)} s left`;
    process.stderr.write(
      `\r\x1b[K[${this.#done + 1}/${this.#total}] ${title}, ${seconds.toFixed(0)} s${left}`,
    );
  }

  print(line: string): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    console.log(line);
  }

  get #remaining(): number {
    return this.#total - this.#done;
  }
}
