/**
 * Each write and each read of a conversation fails in turn. Every time all promises settle with typed errors, the
 * close event comes once, and neither a handle nor a timer is left.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { connectProxy } from '../server/connect-proxy.js';
import { type EchoServer, echoServer } from '../server/echo-server.js';
import { leavesNothingOpen } from '../server/resources.js';
import { answerInFragments, converse, MESSAGES, type Told } from './conversation.js';
import { FaultyStream, type StreamFault } from './faulty-stream.js';
import { type Failing, type Fault, type Relay, relay } from './relay.js';

const TRANSPORTS = [
  { over: 'tcp', tls: false, failings: ['RST', 'FIN', 'stall'] as Failing[] },
  { over: 'TLS', tls: true, failings: ['RST', 'FIN', 'stall', 'corruption'] as Failing[] },
];

/** As many at once: most of the time of a stall is waiting. */
const AT_ONCE = 50;

/** Only a timeout ends these; a corrupt length makes TLS wait for bytes that never come. */
function isSilent(fault: { failing: Failing | StreamFault['failing'] } | undefined): boolean {
  return fault?.failing === 'stall' || fault?.failing === 'corruption';
}

async function server(t: TestContext, tls: boolean): Promise<EchoServer> {
  const echo = await echoServer({ tls, onConnection: answerInFragments });
  t.after(() => echo.close());
  return echo;
}

async function throughRelay(
  { url, port, tls }: EchoServer,
  fault?: Fault,
): Promise<{ told: Told; link: Relay }> {
  const link = await relay(port, fault);
  try {
    const far = url.replace(String(port), String(link.port));
    const told = await converse(far, { tls }, isSilent(fault));
    return { told, link };
  } finally {
    await link.close();
  }
}

/** The relay stands between the client and a proxy, whose tunnel leads to the server. */
async function throughProxy({ url, tls }: EchoServer, fault?: Fault): Promise<{ told: Told; link: Relay }> {
  const proxy = await connectProxy();
  const link = await relay(proxy.port, fault);
  try {
    const proxied = { tls, proxy: `http://127.0.0.1:${link.port}` };
    return { told: await converse(url, proxied, isSilent(fault)), link };
  } finally {
    await link.close();
    await proxy.close();
  }
}

async function throughStream(
  { url, port, tls }: EchoServer,
  fault?: StreamFault,
): Promise<{ told: Told; stream: FaultyStream }> {
  let stream: FaultyStream | undefined;
  const createConnection = async (): Promise<FaultyStream> => {
    const socket = connectTcp({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    stream = new FaultyStream(socket, fault);
    return stream;
  };
  return { told: await converse(url, { tls, createConnection }, isSilent(fault)), stream: stream! };
}

/** A conversation for every fault, some at once. A fault that did not come to pass changes nothing. */
async function each<F extends { failing: Failing | StreamFault['failing'] }>(
  faults: readonly F[],
  run: (fault: F) => Promise<{ told: Told; failed: boolean }>,
): Promise<Told[]> {
  const told: Told[] = [];
  for (let from = 0; from < faults.length; from += AT_ONCE) {
    const some = faults.slice(from, from + AT_ONCE).map(async (fault) => {
      try {
        const result = await run(fault);
        // The timeouts of what may stall are short: on a busy machine they may end a right conversation.
        if (!isSilent(fault)) (result.failed ? assertPrompt : assertWhole)(result.told);
        told.push(result.told);
      } catch (error) {
        throw new Error(`with ${JSON.stringify(fault)}`, { cause: error });
      }
    });
    await Promise.all(some);
  }
  return told;
}

/** What can be heard is not waited for. */
function assertPrompt({ refused, info }: Told): void {
  assert.doesNotMatch(refused?.code ?? info?.error?.code ?? '', /TIMEOUT/);
}

function assertWhole({ refused, info, received }: Told): void {
  assert.equal(refused, undefined);
  assert.deepEqual(info, { code: 1000, reason: 'bye', wasClean: true });
  assert.deepEqual(received, MESSAGES);
}

/** The faults have met the opening, and the open connection. */
function assertMet(told: readonly Told[]): void {
  assert.ok(
    told.some(({ refused }) => refused !== undefined),
    'no fault met the opening',
  );
  assert.ok(
    told.some(({ info }) => info?.wasClean === false),
    'no fault met the open connection',
  );
}

const upTo = (end: number, step = 1): number[] =>
  Array.from({ length: Math.ceil(end / step) }, (_, i) => i * step);

type Through = typeof throughRelay;

async function eachSegmentFails(
  t: TestContext,
  tls: boolean,
  failing: Failing,
  through: Through,
): Promise<void> {
  const echo = await server(t, tls);
  const { segments } = (await through(echo)).link.passed;
  const faults = upTo(segments + 1).map((after): Fault => ({ failing, after: { segments: after } }));
  await eachFails(faults, echo, through);
}

async function eachFails(faults: readonly Fault[], echo: EchoServer, through: Through): Promise<void> {
  await leavesNothingOpen(async () => {
    const told = await each(faults, async (fault) => {
      const { told, link } = await through(echo, fault);
      return { told, failed: link.failed };
    });
    assertMet(told);
  });
}

for (const { over, tls, failings } of TRANSPORTS) {
  describe(`RFC 6455 §7.1.5, over ${over}: a conversation through a relay that fails`, () => {
    test('not at all: it is whole', async (t) => {
      const echo = await server(t, tls);
      await leavesNothingOpen(async () => assertWhole((await throughRelay(echo)).told));
    });

    for (const failing of failings) {
      test(`by ${failing}, after each segment`, (t) => eachSegmentFails(t, tls, failing, throughRelay));

      test(`by ${failing}, after every few bytes`, async (t) => {
        const echo = await server(t, tls);
        const { passed } = (await throughRelay(echo)).link;
        const faults = (['client', 'server'] as const).flatMap((towards) =>
          upTo(passed[towards], tls ? 53 : 7).map((bytes): Fault => ({ failing, after: { bytes, towards } })),
        );
        await eachFails(faults, echo, throughRelay);
      });
    }
  });

  describe(`RFC 6455 §7.1.5, ${over} through a proxy's tunnel that fails`, () => {
    test('not at all: the conversation is whole', async (t) => {
      const echo = await server(t, tls);
      await leavesNothingOpen(async () => assertWhole((await throughProxy(echo)).told));
    });

    for (const failing of failings) {
      test(`by ${failing}, after each segment`, (t) => eachSegmentFails(t, tls, failing, throughProxy));
    }
  });

  describe(`RFC 6455 §7.1.5, ${over} over a stream of the user's that fails`, () => {
    test('not at all: the conversation is whole', async (t) => {
      const echo = await server(t, tls);
      await leavesNothingOpen(async () => assertWhole((await throughStream(echo)).told));
    });

    for (const on of ['write', 'read'] as const) {
      for (const failing of ['error', 'destroy', 'end', 'stall', 'throw'] as const) {
        // Elsewhere the exception leaves through a callback of Node's, or of the stream's own socket.
        if (failing === 'throw' && (on === 'read' || tls)) continue;
        test(`by ${failing}, in each ${on}`, async (t) => {
          const echo = await server(t, tls);
          const { stream } = await throughStream(echo);
          const count = on === 'write' ? stream.writes : stream.reads;
          const faults = upTo(count + 1).map((nth): StreamFault => ({ nth, on, failing }));
          await leavesNothingOpen(async () => {
            await each(faults, async (fault) => {
              const { told, stream } = await throughStream(echo, fault);
              return { told, failed: stream.failed };
            });
          });
        });
      }
    }
  });
}
