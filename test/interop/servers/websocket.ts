/** `websocket` (theturtle32). It sends what is longer than 10 000 bytes in fragments, and knows no compression. */
import websocket from 'websocket';
import { httpServer, listening } from './listening.js';
import { type Counterpart, Part, SUBPROTOCOLS } from './part.js';

const MAX_SIZE = 2 * 1024 * 1024;

export function startWebsocket(tls: boolean): Promise<Counterpart> {
  const http = httpServer(tls);
  const part = new Part();
  const server = new websocket.server({
    httpServer: http,
    maxReceivedFrameSize: MAX_SIZE,
    maxReceivedMessageSize: MAX_SIZE,
    fragmentationThreshold: 10_000,
  });
  server.on('request', (request) => {
    const target = request.httpRequest.url!;
    const refusal = part.refusal(target);
    if (refusal !== undefined) {
      request.reject(refusal.status, refusal.reason, refusal.fields);
      return;
    }
    const chosen = SUBPROTOCOLS.find((each) => request.requestedProtocols.includes(each));
    const connection = request.accept(chosen);
    const listener = part.join(target, {
      send: (data) => connection.send(data),
      ping: (payload) => connection.ping(payload),
      close: (code, reason) => connection.close(code, reason),
    });
    connection.on('message', (message) =>
      listener.message(message.type === 'utf8' ? message.utf8Data : message.binaryData),
    );
    // The types leave this event out.
    (connection as NodeJS.EventEmitter).on('pong', (payload: Buffer) => listener.pong(payload.toString()));
    // It gives a reason of its own to who gave none.
    connection.on('close', (code, reason) =>
      listener.closed(code, reason === websocket.connection.CLOSE_DESCRIPTIONS[code] ? '' : reason),
    );
  });
  return listening(http, tls);
}
