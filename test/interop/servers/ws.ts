/** `ws`. It compresses for those who offer it. */
import { WebSocketServer } from 'ws';
import { httpServer, listening } from './listening.js';
import { type Counterpart, Part, SUBPROTOCOLS } from './part.js';

export function startWs(tls: boolean): Promise<Counterpart> {
  const http = httpServer(tls);
  const part = new Part();
  const server = new WebSocketServer({
    server: http,
    perMessageDeflate: true,
    handleProtocols: (offered) => SUBPROTOCOLS.find((each) => offered.has(each)) ?? false,
    verifyClient({ req }, done) {
      const refusal = part.refusal(req.url!);
      if (refusal === undefined) done(true);
      else done(false, refusal.status, refusal.reason, refusal.fields);
    },
  });
  server.on('connection', (socket, { url }) => {
    const listener = part.join(url!, {
      send: (data) => socket.send(data),
      ping: (payload) => socket.ping(payload),
      close: (code, reason) => socket.close(code, reason),
    });
    socket.on('message', (data, isBinary) => listener.message(isBinary ? (data as Buffer) : `${data}`));
    socket.on('pong', (payload) => listener.pong(payload.toString()));
    socket.on('close', (code, reason) => listener.closed(code, reason.toString()));
    socket.on('error', () => {});
  });
  return listening(http, tls);
}
