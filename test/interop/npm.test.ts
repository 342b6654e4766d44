/** The conversation with the servers that npm has. */
import { COMPRESSED, conversation, type Partner } from './conversation.js';
import { startFaye } from './servers/faye.js';
import { startWebsocket } from './servers/websocket.js';
import { startWs } from './servers/ws.js';

for (const tls of [false, true]) {
  const over = tls ? 'over TLS' : 'over tcp';
  const partners: Partner[] = [
    {
      name: `ws ${over}`,
      start: () => startWs(tls),
      echoesClose: (code, reason) => [code, reason],
      refusesWithBody: true,
    },
    {
      name: `websocket ${over}`,
      start: () => startWebsocket(tls),
      echoesClose: () => [1000, ''],
      refusesWithBody: false,
    },
    {
      name: `faye-websocket ${over}`,
      start: () => startFaye(tls),
      echoesClose: (code, reason) => [code, reason],
      refusesWithBody: true,
    },
  ];
  for (const partner of partners) conversation(partner);
  // The others cannot compress.
  if (!tls) for (const variant of COMPRESSED) conversation(partners[0], variant);
}
