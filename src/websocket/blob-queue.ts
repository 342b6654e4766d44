/** Blobs that are being read, and what waits behind them. */

/** Their bytes come later, so what is sent meanwhile waits, in its order. */
export class BlobQueue {
  #behind: (() => void)[] = [];
  isReading = false;
  /** How many wait. */
  bytes = 0;

  /** Calls one of both, from a tick: an exception of the application's is then one like any other. */
  read(blob: Blob, send: (bytes: Uint8Array) => void, failed: (error: Error) => void): void {
    if (this.isReading) {
      this.behind(blob.size, () => this.read(blob, send, failed));
      return;
    }
    this.isReading = true;
    this.bytes += blob.size;
    const goOn = (action: () => void): void => {
      this.isReading = false;
      this.bytes -= blob.size;
      try {
        action();
      } finally {
        while (this.#behind.length > 0 && !this.isReading) this.#behind.shift()!();
      }
    };
    blob.arrayBuffer().then(
      (bytes) => process.nextTick(goOn, () => send(new Uint8Array(bytes))),
      (error) => process.nextTick(goOn, () => failed(error)),
    );
  }

  /** Does something when the Blobs before it have been sent. */
  behind(bytes: number, action: () => void): void {
    this.bytes += bytes;
    this.#behind.push(() => {
      this.bytes -= bytes;
      action();
    });
  }
}
