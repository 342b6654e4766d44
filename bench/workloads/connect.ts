/**
 * Connections one after the other, each closed before the next: the time until a connection can be used, and the
 * CPU time from its beginning to the end of its closing handshake. On `tls` the server refuses to resume, so
 * each handshake is a full one; on `resumed` it resumes for whoever offers a session, and counts how many did.
 */
import type { Workload } from '../harness/workload.js';

export const workload: Workload = {
  name: 'connect',
  metric: 'cost',
  transports: ['tcp', 'tls', 'resumed'],
  cast: 'usual',
  rounds: 10,
  round: { steps: 50 },
  // V8 goes on compiling for that long, and other threads' compiling is CPU time as well.
  warmUp: { messages: 3000, milliseconds: 600 },
  cases: [
    {
      label: 'and close',
      messagesPerStep: 1,
      serve() {},
      play: ({ open }) => ({
        async round(steps, latencies) {
          for (let done = 0; done < steps; done++) {
            const start = performance.now();
            const link = await open();
            if (latencies !== undefined) latencies[done] = performance.now() - start;
            await link.close();
          }
        },
      }),
    },
  ],
};
