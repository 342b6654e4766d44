/**
 * `faye-websocket`. What is no WebSocket it leaves to the HTTP server, and so to us. It knows compression only with
 * another package.
 */
import FayeWebSocket from 'faye-websocket';
import { httpServer, listening } from './listening.js';
import { type Counterpart, Part, SUBPROTOCOLS } from './part.js';

export function startFaye(tls: boolean): Promise<Counterpart> {
  const http = httpServer(tls);
  const part = new Part();
  http.on('upgrade', (request, socket, head) => {
    const target = request.url!;
    const refusal = part.refusal(target);
    if (refusal !== undefined) {
      const { status, reason, fields } = refusal;
      const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
      const length = `Content-Length: ${reason.length}\r\n`;
      socket.end(`HTTP/1.1 ${status} No\r\n${lines.join('')}${length}\r\n${reason}`);
      return;
    }
    const server = new FayeWebSocket(request, socket, head, SUBPROTOCOLS);
    server.on('open', () => {
      const listener = part.join(target, {
        send: (data) => void server.send(data),
        ping: (payload) => void server.ping(payload, () => listener.pong(payload)),
        close: (code, reason) => server.close(code, reason),
      });
      server.on('message', ({ data }) => listener.message(data));
      server.on('close', ({ code, reason }) => listener.closed(code, reason));
    });
  });
  return listening(http, tls);
}
