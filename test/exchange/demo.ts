/**
 * `npm run demo`: the simulated exchange, a persistent connection to it, and one trouble after the other. The
 * terminal shows state, subscriptions, round trip and what has been missed, as it happens. `-- --once` ends after
 * the last trouble.
 */
import { type ConnectionStats, PersistentConnection, type Transition } from '../../src/index.js';
import { login, speaking } from './client.js';
import { startExchange } from './exchange.js';

const once = process.argv.includes('--once');
const exchange = await startExchange({
  log: false,
  compression: true,
  rules: { login: true, ackDelay: 40, loginDelay: 150 },
});
const CHANNELS = ['trades.BTC', 'trades.ETH', 'book.BTC'];
exchange.publishEvery(20, CHANNELS);

const TROUBLES: [string, () => void][] = [
  ['RST on the wire', () => exchange.resetAll()],
  ['the exchange restarts: 1012, then 503 for 2 s', () => exchange.maintenance(2_000)],
  [
    'too many requests: 429, Retry-After: 1',
    () => {
      let left = 2;
      exchange.rules.refuse = () =>
        left-- > 0 ? { status: 429, headers: { 'Retry-After': '1' } } : undefined;
      exchange.resetAll();
    },
  ],
  [
    'the login is refused once',
    () => {
      exchange.rules.refuseLogins = 1;
      exchange.resetAll();
    },
  ],
  [
    'the acknowledgement of a subscription is lost',
    () => {
      exchange.rules.loseAcks = 1;
      feed.subscribe('trades.SOL');
    },
  ],
  ['it closes with 1001', () => exchange.closeAll(1001)],
  ['an order is on its way when the link breaks', () => order()],
];

const rows: string[] = [];
let received = 0;
let trouble = 'none yet';
let rtt: number | undefined;
const last = new Map<string, number>();
let missed = 0;

const feed = new PersistentConnection(exchange.url, {
  ...speaking,
  subscriptions: { ...speaking.subscriptions!, timeout: 1_000 },
  authenticate: login(),
  connect: { handshakeTimeout: 2_000 },
  // A demonstration does not wait for minutes.
  retry: (_, decision) => ({
    ...decision,
    delay: Math.min(decision.delay, 1_500),
    holdOff: Math.min(decision.holdOff, 1_500),
  }),
  onMessage(message) {
    const { channel, seq, type } = message.json() as { channel?: string; seq?: number; type?: string };
    if (channel === undefined || seq === undefined) return;
    received++;
    const before = last.get(channel);
    if (before !== undefined && type !== 'snapshot' && seq > before + 1) missed += seq - before - 1;
    last.set(channel, seq);
  },
});
for (const channel of CHANNELS) feed.subscribe(channel);

feed.on('state', ({ from, to, epoch, delay, failure }: Transition) => {
  const wait = delay === undefined ? '' : `, ${Math.round(delay)} ms`;
  const why =
    failure === undefined ? '' : `: ${failure.kind}${failure.error ? ` (${failure.error.message})` : ''}`;
  note(`#${epoch} ${from} → ${to}${wait}${why}`);
});
feed.on('subscribed', ({ key }) => note(`subscribed to ${key}`));
feed.on('unsubscribed', ({ key }) => note(`gave back ${key}`));
feed.on('unknown-outcome', ({ key }) => note(`${key}: nobody knows what became of it`));

let orders = 0;
function order(): void {
  exchange.rules.silentOrders = true;
  const id = `order ${++orders}`;
  feed.send(JSON.stringify({ op: 'order', id }), { key: id });
  setTimeout(() => exchange.resetAll(), 100);
}

function note(what: string): void {
  rows.push(`${(performance.now() / 1000).toFixed(2).padStart(7)} s  ${what}`);
  if (!process.stdout.isTTY) console.log(rows.at(-1));
}

function draw(): void {
  if (!process.stdout.isTTY) return;
  const { desired, subscribed, failures, unacknowledged } = feed.stats();
  const room = (process.stdout.rows ?? 30) - 8;
  const width = process.stdout.columns ?? 80;
  const lines = [
    `trouble        ${trouble}`,
    `state          ${feed.state} #${feed.epoch}, ${failures} failures in a row`,
    `subscriptions  ${subscribed} of ${desired} by the client; at the exchange: ${exchange.subscriptions.sort().join(' ')}`,
    `round trip     ${rtt === undefined ? '–' : `${rtt.toFixed(2)} ms`}`,
    `messages       ${received}, missed during outages: ${missed}, orders open: ${unacknowledged}`,
    `at the door    ${exchange.knocks.length} attempts, violations: ${exchange.violations.length}`,
    '',
    ...rows.slice(-room),
  ];
  process.stdout.write(`\x1b[H\x1b[2J${lines.map((line) => line.slice(0, width)).join('\n')}`);
}

const drawing = setInterval(() => {
  draw();
  // Where the connection measures round trips by itself, that is shown.
  const stats = feed.connection?.stats() as (ConnectionStats & { rtt?: { last?: number } }) | undefined;
  if (stats?.rtt?.last !== undefined) rtt = stats.rtt.last;
  else
    feed.connection?.ping().then(
      (ms) => {
        rtt = ms;
      },
      () => {
        rtt = undefined;
      },
    );
}, 100);

process.once('SIGINT', () => void end());
await feed.ready;
do {
  for (const [what, make] of TROUBLES) {
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await feed.ready;
    trouble = what;
    note(`--- ${what}`);
    make();
  }
} while (!once);
await new Promise((resolve) => setTimeout(resolve, 2_500));
await end();

async function end(): Promise<void> {
  await feed.close();
  draw();
  clearInterval(drawing);
  await exchange.stop();
  process.stdout.write('\n');
  process.exit();
}
