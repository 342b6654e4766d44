/**
 * Messages that nobody has taken yet, from the first byte on: bounded, and handed to whoever comes first, a
 * listener or an iterator.
 */

/** A message of one's own, copied out of the read it came with. */
export interface KeptMessage {
  readonly isText: boolean;
  readonly data: Buffer;
  readonly receivedAt: number;
}

const MAX_BYTES = 1024 * 1024;
const MAX_MESSAGES = 1_024;

export class MessageQueue {
  #messages: KeptMessage[] = [];
  #bytes = 0;

  get length(): number {
    return this.#messages.length;
  }

  /** True from the message on that reaches a bound: one large message always fits. */
  get isFull(): boolean {
    return this.#bytes >= MAX_BYTES || this.#messages.length >= MAX_MESSAGES;
  }

  /** True when so much has been taken that more should be read. */
  get hasRoom(): boolean {
    return this.#bytes <= MAX_BYTES / 2 && this.#messages.length <= MAX_MESSAGES / 2;
  }

  push(message: KeptMessage): void {
    this.#messages.push(message);
    this.#bytes += message.data.length;
  }

  shift(): KeptMessage | undefined {
    const message = this.#messages.shift();
    if (message !== undefined) this.#bytes -= message.data.length;
    return message;
  }
}
