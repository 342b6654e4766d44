/** Connects to the URL it is given, in a process of its own, and prints how that went. */
import { connect } from '../../src/connect.js';
import { HandshakeError } from '../../src/errors.js';

try {
  const connection = await connect(process.argv[2]);
  console.log('open');
  await connection.close();
} catch (error) {
  if (!(error instanceof HandshakeError)) throw error;
  console.log(error.code, (error.cause as NodeJS.ErrnoException).code);
}
