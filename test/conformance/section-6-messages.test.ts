/** RFC 6455 §6: sending and receiving data; messages of every size in every form. */
import { describe } from 'node:test';
import { pseudoRandom, pseudoRandomText } from '../arbitraries/payload.js';
import { patterned } from '../leases/link.js';
import { scenario } from './conversation.js';
import { fragments, frame, inSegments } from './frames.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Text of so many bytes, made of a smaller one again and again. */
function longText(length: number): Buffer {
  const whole = Math.floor(length / PIECE.length);
  const rest = pseudoRandomText(length % PIECE.length, 6);
  return Buffer.concat([...Array.from({ length: whole }, () => PIECE), rest]);
}

const PIECE = pseudoRandomText(10_007, 5);

const CONTENTS = {
  text: { opcode: 1, of: longText },
  binary: { opcode: 2, of: (length: number) => patterned(length, length) },
};

function named(bytes: number): string {
  if (bytes >= MIB) return `${bytes / MIB} MiB`;
  return bytes >= KIB && bytes % KIB === 0 ? `${bytes / KIB} KiB` : `${bytes} B`;
}

describe('§6.2: a message in a single frame arrives, whatever its size', () => {
  for (const [kind, { opcode, of }] of Object.entries(CONTENTS)) {
    for (const size of [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]) {
      scenario(`${kind} of ${named(size)}`, () => {
        const wire = frame(opcode, of(size));
        return { server: wire, client: [wire] };
      });
    }
  }
});

describe('§6.2: a message in fragments arrives, whatever their size', () => {
  for (const [kind, { opcode, of }] of Object.entries(CONTENTS)) {
    for (const [whole, sizes] of [
      [64 * KIB, [64, KIB, 1_300, 16 * KIB]],
      [MIB, [64, 4 * KIB, 256 * KIB]],
      [4 * MIB, [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]],
      [16 * MIB, [64, 64 * KIB, 4 * MIB]],
    ] as const) {
      for (const size of sizes) {
        scenario(`${kind} of ${named(whole)} in fragments of ${named(size)}`, () => {
          const payload = of(whole);
          return {
            server: Buffer.concat(fragments(opcode, payload, size)),
            client: [frame(opcode, payload)],
          };
        });
      }
    }
    scenario(`${kind} of 64 KiB in fragments of 64 B, each a segment`, {
      server: fragments(opcode, of(64 * KIB), 64),
      client: [frame(opcode, of(64 * KIB))],
    });
  }
});

describe('§6.2: a message in a single frame arrives, however small the segments', () => {
  for (const [kind, { opcode, of }] of Object.entries(CONTENTS)) {
    const wire = frame(opcode, of(MIB));
    for (const size of [64, 128, 256, 512, 997, 1024, 2048]) {
      scenario(`${kind} of 1 MiB in segments of ${size} bytes`, () => ({
        server: inSegments(wire, size),
        client: [wire],
      }));
    }
    const large = frame(opcode, of(4 * MIB + 1));
    scenario(`${kind} of 4 MiB and 1 byte in segments of 65 521 bytes`, {
      server: inSegments(large, 65_521),
      client: [large],
    });
  }
});

describe('§6.2: thousands of messages arrive, in their order', () => {
  for (const [kind, { opcode, of }] of Object.entries(CONTENTS)) {
    for (const size of [0, 16, 64, 256, KIB, 4 * KIB, 16 * KIB]) {
      const wire = frame(opcode, of(size));
      const client = Array.from({ length: 1_000 }, () => wire);
      scenario(`1 000 × ${kind} of ${named(size)}, each when the one before was answered`, {
        server: client.flatMap((each, i) => (i % 4 === 3 ? [each, i + 1] : [each])),
        client,
      });
    }
  }

  const numbers = pseudoRandom(20);
  const mixed = Array.from({ length: 4_000 }, (_, i) => {
    const { opcode, of } = i % 2 === 0 ? CONTENTS.text : CONTENTS.binary;
    const small = numbers.next().value % 16 !== 0;
    return frame(opcode, of(numbers.next().value % (small ? 200 : 20_000)));
  });
  const whole = Buffer.concat(mixed);
  scenario('4 000 of mixed kinds and sizes at once', { server: whole, client: mixed });
  for (const size of [997, 2048, 65_537]) {
    scenario(`4 000 of mixed kinds and sizes in segments of ${size} bytes`, {
      server: inSegments(whole, size),
      client: mixed,
    });
  }
});

describe('§6.1: the application’s messages leave whole, in their order, each in the frame its type asks for', () => {
  for (const [kind, { opcode, of }] of Object.entries(CONTENTS)) {
    const payloads = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, MIB, 5, 0].map(of);
    scenario(`${kind} of all sizes at once`, {
      server: [
        (connection) => {
          for (const payload of payloads) connection.send(payload, { binary: kind === 'binary' });
        },
        payloads.length,
      ],
      client: payloads.map((payload) => frame(opcode, payload)),
      messages: [],
    });
  }
});
