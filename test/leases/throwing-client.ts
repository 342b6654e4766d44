/** A client whose onMessage throws, for exceptions.test.ts: in a process of its own, which that ends. */
import { writeSync } from 'node:fs';
import { connect } from '../../src/connect.js';

await connect(process.argv[2], {
  tls: { ca: process.env.SERVER_CERTIFICATE },
  onMessage: (message) => {
    writeSync(1, `${message.text()}\n`);
    throw new RangeError('nobody catches this');
  },
});
