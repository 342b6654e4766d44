/** What most applications do with a message: 200 B of JSON, parsed, as fast as it comes. */
import type { Mailbox } from '../harness/contender.js';
import { Inbox } from '../harness/inbox.js';
import { payload } from '../harness/payload.js';
import type { Workload } from '../harness/workload.js';
import { frame, TEXT } from '../server/frames.js';
import { stream } from '../server/stream.js';

const BYTES = 200;
const PERIOD = 1000;
const FIRST_NUMBER = 100_000;

/** Parses, and has the text checked besides. */
class ParsingInbox extends Inbox implements Mailbox {
  override text(text: string): void {
    const { s, p } = JSON.parse(text) as { s: number; p: string };
    if (s === FIRST_NUMBER + this.next && p.length > 0) super.text(text);
    else this.fail(new Error(`wrong message: ${text}`));
  }
}

let chunk: Buffer | undefined;

export const workload: Workload = {
  name: 'json',
  metric: 'rate',
  cast: 'usual',
  rounds: 5,
  round: { milliseconds: 150 },
  cases: [
    {
      label: 'text 200 B parsed',
      long: true,
      byteLength: BYTES,
      messagesPerStep: 1,
      serve(peer) {
        chunk ??= Buffer.concat(
          Array.from({ length: PERIOD }, (_, number) => frame(TEXT, payload('text', number, BYTES))),
        );
        stream(peer, chunk, PERIOD);
      },
      async play({ open }) {
        const inbox = new ParsingInbox();
        inbox.shape(BYTES, PERIOD);
        const link = await open(inbox);
        return {
          link,
          round: (messages) =>
            new Promise((resolve, reject) => {
              inbox.shape(BYTES, PERIOD);
              inbox.expect(messages, resolve, reject);
              link.send(String(messages));
            }),
        };
      },
    },
  ],
};
