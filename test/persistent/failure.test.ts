/** Failures: sorted into kinds, each with its own policy. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ConnectionLostError,
  HandshakeError,
  HeartwireError,
  ProtocolError,
  UsageError,
} from '../../src/index.js';
import {
  decide,
  type Failure,
  type FailureKind,
  kindOfClose,
  kindOfError,
} from '../../src/persistent/failure.js';

function caused(code: string, cause: object): HandshakeError {
  return new HandshakeError(code, 'it failed', { cause: Object.assign(new Error('below'), cause) });
}

function answered(statusCode: number): HandshakeError {
  return new HandshakeError('ERR_HANDSHAKE_STATUS', 'it failed', { statusCode });
}

describe('kinds', () => {
  const ofConnect: [FailureKind, unknown][] = [
    ['refused', caused('ERR_CONNECT', { code: 'ECONNREFUSED', syscall: 'connect' })],
    ['dns', caused('ERR_CONNECT', { code: 'ENOTFOUND', syscall: 'getaddrinfo' })],
    ['dns', caused('ERR_CONNECT', { code: 'EAI_AGAIN' })],
    ['unreachable', caused('ERR_CONNECT', { code: 'EHOSTUNREACH', syscall: 'connect' })],
    ['unreachable', new HandshakeError('ERR_HANDSHAKE_CLOSED', 'closed')],
    ['tls', new HandshakeError('ERR_TLS', 'tls')],
    ['tls', new HandshakeError('ERR_TLS_CERTIFICATE', 'tls')],
    ['timeout', new HandshakeError('ERR_HANDSHAKE_TIMEOUT', 'late')],
    ['unauthorized', answered(401)],
    ['unauthorized', answered(403)],
    ['unauthorized', new HandshakeError('ERR_PROXY', 'proxy', { statusCode: 407 })],
    ['throttled', answered(429)],
    ['throttled', answered(503)],
    ['handshake', answered(404)],
    ['handshake', answered(500)],
    ['handshake', new HandshakeError('ERR_HANDSHAKE_ACCEPT', 'wrong')],
    ['usage', new UsageError('ERR_INVALID_OPTION', 'wrong')],
    ['usage', new HeartwireError('ERR_WASM_MEMORY', 'no memory')],
    ['unreachable', new Error('of createConnection')],
  ];
  for (const [kind, error] of ofConnect) {
    const { code, statusCode } = error as HandshakeError;
    test(`${code ?? 'a foreign error'} ${statusCode ?? ''} is ${kind}`, () => {
      assert.equal(kindOfError(error), kind);
    });
  }

  const ofClose: [FailureKind, number, HeartwireError?][] = [
    ['policy', 1008],
    ['restart', 1012],
    ['overload', 1013],
    ['closed', 1000],
    ['closed', 1001],
    ['closed', 4000],
    ['lost', 1006, new ConnectionLostError('ERR_CONNECTION_LOST', 'lost')],
    ['heartbeat', 1006, new ConnectionLostError('ERR_HEARTBEAT_TIMEOUT', 'silent')],
    ['heartbeat', 1006, new ConnectionLostError('ERR_PING_NEVER_ANSWERED', 'silent')],
    ['protocol', 1006, new ProtocolError('ERR_MASKED_FRAME', 'masked', '5.1', 1002)],
  ];
  for (const [kind, code, error] of ofClose) {
    test(`close code ${code}${error ? ` with ${error.code}` : ''} is ${kind}`, () => {
      assert.equal(kindOfClose({ code, reason: '', wasClean: error === undefined, error }), kind);
    });
  }
});

describe('policies', () => {
  const URL = 'wss://a.test/';
  const failed = (kind: FailureKind, attempts = 1, retryAfter?: number): Failure => ({
    kind,
    attempts,
    retryAfter,
    epoch: 1,
    url: URL,
  });
  const alone = { next: URL, urls: 1, penalty: 0, backoff: () => 777 };

  const first: [FailureKind, number][] = [
    ['lost', 0],
    ['closed', 0],
    ['heartbeat', 0],
    ['refused', 0],
    ['unreachable', 0],
    ['timeout', 0],
    ['application', 0],
    ['protocol', 777],
    ['handshake', 777],
    ['authentication', 777],
    ['subscription', 777],
    ['dns', 1_777],
    ['tls', 5_777],
    ['unauthorized', 60_777],
    ['throttled', 60_777],
    ['policy', 10_777],
    ['restart', 5_777],
    ['overload', 30_777],
  ];
  for (const [kind, delay] of first) {
    test(`${kind}: the first retry after ${delay} ms, of which 777 are the backoff's`, () => {
      assert.equal(decide(failed(kind), alone).delay, delay);
      assert.equal(decide(failed(kind), alone).retry, true);
    });
  }

  test('usage: no retry', () => {
    assert.equal(decide(failed('usage'), alone).retry, false);
  });

  test('only the first retry is at once', () => {
    assert.equal(decide(failed('lost', 2), alone).delay, 777);
  });

  test('Retry-After counts instead of the minute, for the whole process', () => {
    const { delay, holdOff } = decide(failed('throttled', 1, 30_000), alone);
    assert.deepEqual({ delay, holdOff }, { delay: 30_777, holdOff: 30_000 });
  });

  test("without Retry-After, the venue's penalty counts where it is longer than a minute", () => {
    assert.equal(decide(failed('throttled'), { ...alone, penalty: 600_000 }).holdOff, 600_000);
    assert.equal(decide(failed('throttled'), { ...alone, penalty: 15_000 }).holdOff, 60_000);
    assert.equal(decide(failed('lost'), { ...alone, penalty: 600_000 }).holdOff, 0);
  });

  test('another URL is tried at once, until all have been; what one host asked for does not bind another', () => {
    const two = { ...alone, next: 'wss://b.test/', urls: 2 };
    assert.equal(decide(failed('throttled', 1, 30_000), two).delay, 0);
    assert.equal(decide(failed('throttled', 1, 30_000), two).holdOff, 30_000);
    assert.equal(decide(failed('throttled', 2, 30_000), two).delay, 777);
    assert.equal(decide(failed('refused', 1), two).delay, 0);
    assert.equal(decide(failed('refused', 2), two).delay, 777);
  });
});
