/** A link on a WebSocket of the WHATWG standard, whoever made it. */
import type { Link, Mailbox, Payload } from './contender.js';

/** As much of it as is used here: what all implementations have in common. */
export interface WhatwgWebSocket {
  binaryType: string;
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  onclose: unknown;
  send(data: string | Buffer<ArrayBuffer>): void;
  close(): void;
}

export function whatwgLink(socket: WhatwgWebSocket, inbox: Mailbox): Promise<Link> {
  return new Promise((resolve, reject) => {
    let closed: (() => void) | undefined;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
      if (typeof data === 'string') inbox.text(data);
      else inbox.binary(new Uint8Array(data), 0, data.byteLength);
    };
    socket.onerror = ({ error, message }: { error?: Error; message?: string }) => {
      const reason = error ?? new Error(message ?? 'unknown error');
      reject(reason);
      inbox.fail(reason);
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      if (closed === undefined) inbox.fail(new Error(`connection closed: ${code} ${reason}`));
      else closed();
    };
    const send = (payload: Payload) => socket.send(payload as string | Buffer<ArrayBuffer>);
    socket.onopen = () =>
      resolve({
        send,
        sendAll: (payloads) => {
          for (const payload of payloads) send(payload);
        },
        close: () =>
          new Promise((resolve) => {
            closed = resolve;
            socket.close();
          }),
      });
  });
}
