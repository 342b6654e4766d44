/** What can befall a link, each done to many connections at once; each gives a line of the table. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Where } from './heartbeat-client.js';
import { BEAT, judgeEnds, judgeLives, open, type Rig, type Row, row } from './heartbeat-rig.js';

const now = (): number => performance.timeOrigin + performance.now();

/** Stalls and black holes begin at any moment of a heartbeat. */
const anyMoment = (): Promise<void> => delay(Math.random() * BEAT.interval);

/** ms after which nothing is waited for any more. */
const LONG = 15_000;

export interface Deadly {
  towards?: 'both' | 'server' | 'client';
  /** That each connection sends every 20 ms, while the server sends as well; 0: nobody sends anything. */
  bytes?: number;
  rounds?: number;
}

/** A message. */
const SOME = 200;

export async function deadLink(rig: Rig, { towards = 'both', bytes = 0, rounds = 1 }: Deadly): Promise<Row> {
  const direction = towards === 'both' ? 'black hole' : `black hole towards the ${towards} only`;
  const traffic = bytes === 0 ? 'idle' : `data both ways, ${bytes / 20} kB/s`;
  const line = row(`${direction}, ${traffic}`);
  for (let i = 0; i < rounds; i++) {
    await open(rig, { paths: [bytes > 0 ? '/feed' : '/quiet'] });
    await rig.client.send(bytes);
    await anyMoment();
    rig.network.blackHole(towards);
    await judgeEnds(rig, line, await rig.client.ended(LONG), { silence: 'link-dead', beat: BEAT });
    rig.network.heal();
    await rig.client.close();
  }
  return line;
}

/** Deadlines are longer here, since TCP sends again what was lost only 200, 600 and 1 400 ms later. */
export async function restored(rig: Rig, ms: number): Promise<Row> {
  const timeout = 1_000 + 2 * ms;
  const line = row(`restored after ${ms} ms, timeout ${timeout} ms`);
  await open(rig, { heartbeat: { interval: 300, timeout } });
  await rig.client.send(SOME);
  await anyMoment();
  const since = now();
  rig.network.blackHole();
  await delay(ms);
  rig.network.heal();
  const before = await rig.client.fates();
  await delay(timeout + 500);
  await judgeLives(rig, line, since, before, timeout);
  await rig.client.close();
  return line;
}

export async function ended(rig: Rig, how: 'RST' | 'FIN'): Promise<Row> {
  const line = row(how === 'RST' ? 'RST' : 'FIN without close');
  await open(rig);
  await anyMoment();
  const since = now();
  await (how === 'RST' ? rig.server.reset() : rig.server.end());
  // At once, and not by the heartbeat.
  const beat = { interval: 0, timeout: 700 };
  await judgeEnds(rig, line, await rig.client.ended(LONG), { code: 'ERR_CONNECTION_LOST', beat, since });
  await rig.client.close();
  return line;
}

export async function stoppedServer(rig: Rig, busy: boolean): Promise<Row> {
  const line = row(`server stopped (SIGSTOP), ${busy ? 'data both ways' : 'idle'}`);
  await open(rig, { paths: [busy ? '/feed' : '/quiet'] });
  await rig.client.send(busy ? SOME : 0);
  await anyMoment();
  rig.serverProcess.kill('SIGSTOP');
  const fates = await rig.client.ended(LONG);
  rig.serverProcess.kill('SIGCONT');
  await judgeEnds(rig, line, fates, { silence: 'server-silent', beat: BEAT });
  await rig.client.close();
  return line;
}

/** Pongs and nothing else: no heartbeat of the link's can find anything wrong with it. */
export async function pongsOnly(rig: Rig, ms: number): Promise<Row> {
  const line = row(`answers pings, sends no data, ${ms / 1000} s`);
  const since = now();
  await open(rig, { paths: ['/quiet'] });
  const before = await rig.client.fates();
  await delay(ms);
  await judgeLives(rig, line, since, before);
  await rig.client.close();
  return line;
}

/** The same server, of which data is expected: what an application's heartbeat is for. */
export async function dataExpected(rig: Rig): Promise<Row> {
  const line = row('answers pings, sends no data, data expected');
  await open(rig, { paths: ['/quiet'], modes: ['listen'], heartbeat: { timeout: 1_000 } });
  const fates = await rig.client.ended(LONG);
  await judgeEnds(rig, line, fates, { silence: 'unknown', beat: { interval: 0, timeout: 1_000 } });
  await rig.client.close();
  return line;
}

export async function neverAnswered(rig: Rig): Promise<Row> {
  const line = row('ignores pings');
  await open(rig, { paths: ['/mute'] });
  await judgeEnds(rig, line, await rig.client.ended(LONG), {
    code: 'ERR_PING_NEVER_ANSWERED',
    silence: 'never-answered',
    beat: BEAT,
  });
  await rig.client.close();
  return line;
}

// ------------------------------------------------------------------------------------------------- our own stalls

/** Pings are many, and half of their Pongs take 120 ms: whenever a stall begins, some are under way. */
const OFTEN = { interval: 150, timeout: BEAT.timeout };

export async function stalls(rig: Rig, where: Where, lengths: readonly number[]): Promise<Row> {
  const line = row(`stalls of ${lengths[0] / 1000} to ${lengths.at(-1)! / 1000} s: ${where}`);
  await open(rig, { heartbeat: OFTEN, delayed: true });
  let before = await rig.client.fates();
  for (const ms of lengths) {
    await delay(200 + Math.random() * 200);
    const since = now();
    const underWay = await rig.client.stall(where, ms);
    if (where === 'pong in the kernel' && underWay === 0) line.wrong.push('no Pong was under way');
    await delay(BEAT.timeout + 400);
    before = await judgeLives(rig, line, since, before);
  }
  await rig.client.close();
  return line;
}

export async function stallsInHandshake(rig: Rig, lengths: readonly number[]): Promise<Row> {
  const line = row(`stalls of ${lengths[0] / 1000} to ${lengths.at(-1)! / 1000} s: during the handshake`);
  const { client, doors, count } = rig;
  for (const ms of lengths) {
    const since = now();
    const kinds = { paths: ['/quiet', '/feed'], modes: ['idle' as const, 'always' as const] };
    await client.openStalled(
      { doors, count, heartbeat: OFTEN, delayed: true, ...kinds },
      Math.random() * 60,
      ms,
    );
    const before = await client.fates();
    await delay(BEAT.timeout + 400);
    await judgeLives(rig, line, since, before);
    await client.close();
  }
  return line;
}

export async function stallOnDeadLink(rig: Rig, where: 'timer' | 'immediate', ms: number): Promise<Row> {
  const line = row(`black hole and a stall of ${ms / 1000} s: ${where}`);
  await open(rig, { modes: ['always'], heartbeat: BEAT });
  await anyMoment();
  rig.network.blackHole();
  await rig.client.stall(where, ms);
  await judgeEnds(rig, line, await rig.client.ended(LONG), { silence: 'link-dead', beat: BEAT });
  rig.network.heal();
  await rig.client.close();
  return line;
}

/** Where the system does not tell, our own stall is named. */
export async function ownStall(rig: Rig, ms: number): Promise<Row> {
  const line = row(`black hole and a stall of ${ms / 1000} s, the system does not tell`);
  await open(rig, { modes: ['always'], heartbeat: OFTEN, delayed: true, foreign: true });
  await anyMoment();
  rig.network.blackHole();
  await delay(OFTEN.interval + 50);
  await rig.client.stall('immediate', ms);
  await judgeEnds(rig, line, await rig.client.ended(LONG), {
    silence: 'own-stall',
    beat: OFTEN,
    stalledFor: ms / 2,
  });
  rig.network.heal();
  await rig.client.close();
  return line;
}

/** What a stall does that is too long for the server: it is no verdict of ours, and the error tells whose fault it was. */
export async function lostByStall(rig: Rig, ms: number): Promise<Row> {
  const line = row(`the server gives up on a client that stands still for ${ms / 1000} s`);
  await open(rig, { paths: ['/strict'] });
  await anyMoment();
  await rig.client.stall('immediate', ms);
  const fates = await rig.client.ended(LONG);
  await judgeEnds(rig, line, fates, { code: 'ERR_CONNECTION_LOST' });
  for (const { kind, error } of fates) {
    if (error?.message.includes('event loop had just stood still')) continue;
    line.wrong.push(`${kind}: nothing of the stall in: ${error?.message}`);
  }
  await rig.client.close();
  return line;
}

export async function suspended(rig: Rig, ms: number, dead: boolean): Promise<Row> {
  const line = row(`client suspended (SIGSTOP) for ${ms / 1000} s, ${dead ? 'black hole' : 'link alive'}`);
  await open(rig, dead ? {} : { heartbeat: OFTEN, delayed: true });
  await anyMoment();
  const since = now();
  const before = await rig.client.fates();
  if (dead) rig.network.blackHole();
  rig.clientProcess.kill('SIGSTOP');
  await delay(ms);
  rig.clientProcess.kill('SIGCONT');
  if (dead) {
    const fates = await rig.client.ended(LONG);
    await judgeEnds(rig, line, fates, { silence: 'link-dead', beat: BEAT, suspended: ms });
    rig.network.heal();
  } else {
    await delay(BEAT.timeout + 400);
    await judgeLives(rig, line, since, before);
  }
  await rig.client.close();
  return line;
}

// --------------------------------------------------------------------------------------------------------- pauses

/** By `pause()`, or because nobody takes messages. */
export type Pause = 'pause' | 'leave';

export async function pausedAlive(rig: Rig, pause: Pause, ms: number): Promise<Row> {
  const by = pause === 'pause' ? 'paused' : 'nobody reads';
  const line = row(`${by} for ${ms / 1000} s, link alive`);
  // What nobody reads is kept up to 1 024 messages: then reading pauses.
  await open(rig, { heartbeat: OFTEN, paths: pause === 'pause' ? ['/quiet', '/feed'] : ['/feed'] });
  const since = now();
  await rig.client[pause]();
  await delay(ms);
  const paused = await rig.client.fates();
  if (pause === 'leave') {
    for (const { pausedFor, kind } of paused) if (pausedFor === 0) line.wrong.push(`${kind}: not paused`);
  }
  await judgeLives(rig, line, since);
  await rig.client.resume();
  await delay(BEAT.timeout + 1_000);
  await judgeLives(rig, line, since, paused);
  await rig.client.close();
  return line;
}

export async function diedWhilePaused(
  rig: Rig,
  how: 'black hole' | 'RST' | 'SIGSTOP',
  ms: number,
): Promise<Row> {
  const line = row(`paused for ${ms / 1000} s, ${how} meanwhile`);
  await open(rig);
  await rig.client.pause();
  if (how === 'black hole') rig.network.blackHole();
  else if (how === 'RST') await rig.server.reset();
  else rig.serverProcess.kill('SIGSTOP');
  await delay(ms);
  const since = await rig.client.resume();
  const fates = await rig.client.ended(LONG);
  if (how === 'SIGSTOP') rig.serverProcess.kill('SIGCONT');
  const silence = { 'black hole': 'link-dead', SIGSTOP: 'server-silent', RST: undefined }[how];
  const code = how === 'RST' ? 'ERR_CONNECTION_LOST' : 'ERR_HEARTBEAT_TIMEOUT';
  await judgeEnds(rig, line, fates, { code, silence, beat: BEAT, since });
  rig.network.heal();
  await rig.client.close();
  return line;
}

// ------------------------------------------------------------------------------------------------ slow, and flooded

/** A ping lies behind a backlog that takes far longer than the timeout: as long as it moves, the link lives. */
export async function slowLink(rig: Rig, count: number): Promise<Row> {
  const line = row('1 Mbit/s and 0.4 MB in front of the pings');
  await open({ ...rig, count }, { paths: ['/quiet'] });
  const since = now();
  const before = await rig.client.fates();
  rig.network.limitRate(1_000_000);
  await rig.client.burst(400_000 / count);
  await delay(6_000);
  rig.network.limitRate(0);
  await delay(1_000);
  await judgeLives(rig, line, since, before);
  await rig.client.close();
  return line;
}

/** RFC 6455 §5.5.2: every one may be answered by the latest; memory is flat and the connection lives. */
export async function flood(rig: Rig, count: number): Promise<Row> {
  const line = row(`${count} pings at once`);
  const since = now();
  await open({ ...rig, count: 2 }, { paths: ['/quiet'] });
  await rig.server.flood(10_000);
  const before = await rig.client.residentBytes();
  const half = count / 2;
  let most = 0;
  let done = false;
  void rig.server.flood(half).finally(() => {
    done = true;
  });
  while (!done) {
    most = Math.max(most, await rig.client.residentBytes());
    await delay(20);
  }
  for (let i = 0; i < 250 && (await rig.client.pingsReceived()) < count; i++) await delay(20);
  await judgeLives(rig, line, since);
  const received = await rig.client.pingsReceived();
  if (received < count) line.wrong.push(`only ${received} pings were read`);
  const grown = Math.round((most - before) / 1_048_576);
  line.what += `: ${grown} MiB more`;
  if (grown > 64) line.wrong.push(`${grown} MiB more`);
  await rig.client.close();
  return line;
}
