/** How one speaks with the exchange: what an application of `PersistentConnection` writes for its venue. */
import type { Message, PersistentOptions, RecoverySession, SubscriptionProtocol } from '../../src/index.js';
import { sign } from './signature.js';

interface Answer {
  event?: string;
  id?: number;
  channels?: string[];
  error?: string;
  channel?: string;
}

const keysOf = (requests: readonly { key: string }[]): string[] => requests.map(({ key }) => key);

export const subscriptions: SubscriptionProtocol = {
  subscribe: (requests, id) => JSON.stringify({ op: 'subscribe', id, channels: keysOf(requests) }),
  unsubscribe: (requests, id) => JSON.stringify({ op: 'unsubscribe', id, channels: keysOf(requests) }),
  acknowledgement(message) {
    const { event, id, channels, error } = message.json() as Answer;
    if (event !== 'subscribed' && event !== 'unsubscribed' && event !== 'error') return undefined;
    return { id, keys: channels, ...(error && { refused: error }) };
  },
};

export function channelOf(message: Message): string | undefined {
  return (message.json() as Answer).channel;
}

/** The key of an order that is acknowledged. */
export function acknowledges(message: Message): string | undefined {
  const { event, id } = message.json() as Answer;
  return event === 'order' ? String(id) : undefined;
}

let lastLogin = 0;
let lastTime = 0;

/** Logs in with a time of this moment, by the exchange's clock if `now` gives it. */
export function login(now: () => number = Date.now) {
  return async (session: RecoverySession): Promise<void> => {
    const id = `login ${++lastLogin}`;
    // Two logins of one ms would have one signature.
    const time = Math.max(now(), lastTime + 1);
    lastTime = time;
    const answer = session.reply((message) => {
      const given = message.json() as { event: string; id?: unknown; error?: string };
      return given.id === id ? given : undefined;
    });
    await session.send(JSON.stringify({ op: 'login', id, key: 'k', time, signature: sign('k', time) }));
    const { error } = await answer;
    if (error !== undefined) throw new Error(error);
  };
}

/** Everything but the login. */
export const speaking: PersistentOptions = { subscriptions, channelOf, acknowledges };
