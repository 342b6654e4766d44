/** The other end of a `Child`: a process that answers named calls over IPC until its parent is gone. */

/** What a process answers: one argument, one result, both as structured clone copies them. */
export type Calls = Record<string, (argument: never) => unknown>;

export function answer<C extends Calls>(calls: C): void {
  process.on('message', async ({ id, call, argument }: { id: number; call: string; argument: never }) => {
    try {
      process.send?.({ id, result: await calls[call](argument) });
    } catch (error) {
      process.send?.({ id, error: String(error instanceof Error ? error.stack : error) });
    }
  });
  process.on('disconnect', () => process.exit());
}
