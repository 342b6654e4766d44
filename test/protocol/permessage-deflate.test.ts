/** RFC 7692 §7.1: what is offered, which answers are legal for it, and what they mean. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HandshakeError, UsageError } from '../../src/errors.js';
import { formatExtensions, parseExtensions } from '../../src/protocol/extensions.js';
import {
  checkDeflateOptions,
  type DeflateAgreement,
  deflateAgreement,
  deflateOffer,
  type PerMessageDeflateOptions,
} from '../../src/protocol/permessage-deflate.js';

const RESPONSE = { statusCode: 101, headers: { upgrade: 'websocket' } };

const offered = (options: PerMessageDeflateOptions): string => formatExtensions([deflateOffer(options)]);

function agreed(options: PerMessageDeflateOptions, parameters: string): DeflateAgreement | undefined {
  return deflateAgreement(options, parseExtensions(`permessage-deflate${parameters}`), RESPONSE);
}

function refused(options: PerMessageDeflateOptions, parameters: string): HandshakeError {
  try {
    agreed(options, parameters);
  } catch (error) {
    assert.ok(error instanceof HandshakeError, String(error));
    return error;
  }
  return assert.fail(`accepted: ${parameters}`);
}

const NOTHING_AGREED: DeflateAgreement = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15,
};

describe('RFC 7692 §7.1 the offer', () => {
  const offers: [PerMessageDeflateOptions, string][] = [
    [{}, ''],
    [{ serverNoContextTakeover: false, clientNoContextTakeover: false, clientMaxWindowBits: false }, ''],
    [{ threshold: 0 }, ''],
    [{ serverNoContextTakeover: true }, '; server_no_context_takeover'],
    [{ clientNoContextTakeover: true }, '; client_no_context_takeover'],
    [{ serverMaxWindowBits: 8 }, '; server_max_window_bits=8'],
    [{ serverMaxWindowBits: 15 }, '; server_max_window_bits=15'],
    [{ clientMaxWindowBits: true }, '; client_max_window_bits'],
    [{ clientMaxWindowBits: 9 }, '; client_max_window_bits=9'],
    [
      {
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        serverMaxWindowBits: 10,
        clientMaxWindowBits: true,
      },
      '; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits',
    ],
  ];
  for (const [options, parameters] of offers) {
    test(`${JSON.stringify(options)} offers "permessage-deflate${parameters}"`, () => {
      assert.equal(offered(options), `permessage-deflate${parameters}`);
    });
  }
});

describe('RFC 7692 §7.1 legal answers', () => {
  const everything = { serverMaxWindowBits: 12, clientMaxWindowBits: 11, serverNoContextTakeover: true };
  const answers: [PerMessageDeflateOptions, string, Partial<DeflateAgreement>][] = [
    [{}, '', {}],
    // §7.1.1, §7.1.2.1: the server may ask of itself, and of us, what was not offered.
    [{}, '; server_no_context_takeover', { serverNoContextTakeover: true }],
    [{}, '; client_no_context_takeover', { clientNoContextTakeover: true }],
    [{}, '; server_max_window_bits=8', { serverMaxWindowBits: 8 }],
    [{}, '; server_max_window_bits=15', { serverMaxWindowBits: 15 }],
    [{}, '; server_max_window_bits="10"', { serverMaxWindowBits: 10 }],
    [{ serverMaxWindowBits: 12 }, '; server_max_window_bits=12', { serverMaxWindowBits: 12 }],
    [{ serverMaxWindowBits: 12 }, '; server_max_window_bits=9', { serverMaxWindowBits: 9 }],
    [{ serverNoContextTakeover: true }, '; server_no_context_takeover', { serverNoContextTakeover: true }],
    // §7.1.1.2, §7.1.2.2: hints that we follow whatever is answered.
    [{ clientNoContextTakeover: true }, '', { clientNoContextTakeover: true }],
    [{ clientMaxWindowBits: 10 }, '', { clientMaxWindowBits: 10 }],
    [{ clientMaxWindowBits: 10 }, '; client_max_window_bits=10', { clientMaxWindowBits: 10 }],
    [{ clientMaxWindowBits: 10 }, '; client_max_window_bits=8', { clientMaxWindowBits: 8 }],
    [{ clientMaxWindowBits: true }, '', {}],
    [{ clientMaxWindowBits: true }, '; client_max_window_bits=15', {}],
    [{ clientMaxWindowBits: true }, '; client_max_window_bits="8"', { clientMaxWindowBits: 8 }],
    [
      everything,
      '; client_max_window_bits=9; client_no_context_takeover; server_max_window_bits=11; server_no_context_takeover',
      {
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        serverMaxWindowBits: 11,
        clientMaxWindowBits: 9,
      },
    ],
  ];
  for (const [options, parameters, expected] of answers) {
    test(`"${parameters}" to "${offered(options)}"`, () => {
      assert.deepEqual(agreed(options, parameters), { ...NOTHING_AGREED, ...expected });
    });
  }

  test('§5: without the extension in the answer, it was declined', () => {
    assert.equal(deflateAgreement({}, [], RESPONSE), undefined);
    assert.equal(
      deflateAgreement({}, parseExtensions('foo; server_max_window_bits=99'), RESPONSE),
      undefined,
    );
  });
});

describe('RFC 7692 §7.1 illegal answers', () => {
  const answers: [PerMessageDeflateOptions, string, RegExp, string][] = [
    [
      {},
      '; server_no_context_takeover; server_no_context_takeover',
      /"server_no_context_takeover" comes twice/,
      '7.1',
    ],
    [
      {},
      '; server_max_window_bits=9; server_max_window_bits=9',
      /"server_max_window_bits" comes twice/,
      '7.1',
    ],
    [{}, '; foo', /no parameter "foo"/, '7.1'],
    [{}, '; Server_No_Context_Takeover', /no parameter "Server_No_Context_Takeover"/, '7.1'],
    [{}, '; server_no_context_takeover=1', /server_no_context_takeover has a value, "1"/, '7.1.1.1'],
    [{}, '; client_no_context_takeover=true', /client_no_context_takeover has a value, "true"/, '7.1.1.2'],
    [{}, '; server_max_window_bits', /server_max_window_bits has no value/, '7.1.2.1'],
    ...[
      '7',
      '16',
      '0',
      '-1',
      '1',
      '010',
      '08',
      '1e1',
      '+10',
      '10.0',
      '0xa',
      '"010"',
      '"16"',
      '100',
      '8a',
    ].map((value): [PerMessageDeflateOptions, string, RegExp, string] => [
      {},
      `; server_max_window_bits=${value}`,
      /server_max_window_bits is ".+"; it must be an integer from 8 to 15 without leading zeros/,
      '7.1.2.1',
    ]),
    [{ serverMaxWindowBits: 10 }, '; server_max_window_bits=11', /is 11, more than the 10/, '7.1.2.1'],
    [{ serverMaxWindowBits: 10 }, '', /server_max_window_bits was offered/, '7.1.2.1'],
    [{ serverNoContextTakeover: true }, '', /server_no_context_takeover was offered/, '7.1.1.1'],
    [{}, '; client_max_window_bits=15', /client_max_window_bits was not offered/, '7.1.2.2'],
    [
      { clientMaxWindowBits: false },
      '; client_max_window_bits=10',
      /client_max_window_bits was not offered/,
      '7.1.2.2',
    ],
    [
      { clientMaxWindowBits: true },
      '; client_max_window_bits',
      /client_max_window_bits has no value/,
      '7.1.2.2',
    ],
    [{ clientMaxWindowBits: true }, '; client_max_window_bits=7', /client_max_window_bits is "7"/, '7.1.2.2'],
    [
      { clientMaxWindowBits: true },
      '; client_max_window_bits=09',
      /client_max_window_bits is "09"/,
      '7.1.2.2',
    ],
    [{ clientMaxWindowBits: 9 }, '; client_max_window_bits=10', /is 10, more than the 9/, '7.1.2.2'],
  ];
  for (const [options, parameters, reason, section] of answers) {
    test(`"${parameters}" to "${offered(options)}": the error names the parameter, why, and §${section}`, () => {
      const error = refused(options, parameters);
      assert.equal(error.code, 'ERR_HANDSHAKE_EXTENSION');
      assert.match(error.message, reason);
      assert.ok(error.message.endsWith(`(RFC 7692 §${section})`), error.message);
      assert.deepEqual([error.statusCode, error.headers], [RESPONSE.statusCode, RESPONSE.headers]);
    });
  }

  test('no answer of any parameters is accepted that breaks a rule', () => {
    const bits = fc.constantFrom('7', '8', '9', '10', '15', '16', '08', undefined);
    const parameter = fc.oneof(
      fc.constantFrom('server_no_context_takeover', 'client_no_context_takeover'),
      fc
        .tuple(fc.constantFrom('server_max_window_bits', 'client_max_window_bits'), bits)
        .map(([name, value]) => (value === undefined ? name : `${name}=${value}`)),
    );
    const options = fc.record(
      {
        serverNoContextTakeover: fc.boolean(),
        clientNoContextTakeover: fc.boolean(),
        serverMaxWindowBits: fc.integer({ min: 8, max: 15 }),
        clientMaxWindowBits: fc.oneof(fc.boolean(), fc.integer({ min: 8, max: 15 })),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(options, fc.array(parameter, { maxLength: 5 }), (offer, parameters) => {
        let agreement: DeflateAgreement | undefined;
        try {
          agreement = agreed(offer, parameters.map((each) => `; ${each}`).join(''));
        } catch (error) {
          assert.ok(error instanceof HandshakeError, String(error));
          return;
        }
        assert.ok(agreement !== undefined, 'accepted');
        const names = parameters.map((each) => each.split('=')[0]);
        assert.equal(new Set(names).size, names.length, 'no parameter twice');
        assert.ok(
          agreement.serverMaxWindowBits <= (offer.serverMaxWindowBits ?? 15),
          'as little as was asked',
        );
        if (typeof offer.clientMaxWindowBits === 'number')
          assert.ok(agreement.clientMaxWindowBits <= offer.clientMaxWindowBits, 'as little as was promised');
        if (!offer.clientMaxWindowBits) assert.equal(agreement.clientMaxWindowBits, 15);
        if (offer.serverNoContextTakeover) assert.equal(agreement.serverNoContextTakeover, true);
        if (offer.clientNoContextTakeover) assert.equal(agreement.clientNoContextTakeover, true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the option perMessageDeflate', () => {
  test('is off by default, and true means the bare offer', () => {
    assert.equal(checkDeflateOptions(undefined), undefined);
    assert.equal(checkDeflateOptions(false), undefined);
    assert.deepEqual(checkDeflateOptions(true), {});
    assert.deepEqual(checkDeflateOptions({ threshold: 100 }), { threshold: 100 });
  });

  const wrong: [unknown, RegExp][] = [
    [null, /perMessageDeflate must be a boolean or an object, not null/],
    ['yes', /perMessageDeflate must be/],
    [1, /perMessageDeflate must be/],
    [{ serverNoContextTakeover: 1 }, /serverNoContextTakeover must be a boolean, not 1/],
    [{ clientNoContextTakeover: 'no' }, /clientNoContextTakeover/],
    [{ serverMaxWindowBits: 7 }, /serverMaxWindowBits must be an integer from 8 to 15, not 7/],
    [{ serverMaxWindowBits: 16 }, /serverMaxWindowBits/],
    [{ serverMaxWindowBits: 9.5 }, /serverMaxWindowBits/],
    [{ serverMaxWindowBits: true }, /serverMaxWindowBits/],
    [{ clientMaxWindowBits: 7 }, /clientMaxWindowBits must be a boolean or an integer from 8 to 15, not 7/],
    [{ clientMaxWindowBits: '10' }, /clientMaxWindowBits/],
    [{ threshold: -1 }, /threshold must be a number of bytes, not -1/],
    [{ threshold: Number.NaN }, /threshold/],
  ];
  for (const [value, message] of wrong) {
    test(`refuses ${JSON.stringify(value)}`, () => {
      assert.throws(
        () => checkDeflateOptions(value),
        (error) =>
          error instanceof UsageError && error.code === 'ERR_INVALID_OPTION' && message.test(error.message),
      );
    });
  }
});
