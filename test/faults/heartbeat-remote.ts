/** Methods of another process, called over its IPC channel. */
import type { ChildProcess } from 'node:child_process';

type Method = (...given: never[]) => unknown;

/** The methods of `M`, each answered by a promise. */
export type Remote<M> = {
  [K in keyof M]: M[K] extends (...given: infer Given) => infer Result
    ? (...given: Given) => Promise<Awaited<Result>>
    : never;
};

interface Call {
  id: number;
  name: string;
  given: never[];
}

interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

/** Lets the process that started this one call `methods`; ends with it. */
export function serve(methods: Record<string, Method>): void {
  process.on('message', async ({ id, name, given }: Call) => {
    const answer: Answer = { id };
    try {
      answer.result = await methods[name](...given);
    } catch (thrown) {
      answer.error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    }
    process.send?.(answer);
  });
  process.on('disconnect', () => process.exit());
}

export function remote<M>(child: ChildProcess): Remote<M> {
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let calls = 0;
  child.on('message', ({ id, result, error }: Answer) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the process has ended: ${code ?? signal}`));
  });
  return new Proxy({} as Remote<M>, {
    get: (_, name) => {
      // An async function that returns this asks whether it is a promise.
      if (name === 'then') return undefined;
      return (...given: unknown[]) =>
        new Promise((resolve, reject) => {
          waiting.set(++calls, { resolve, reject });
          child.send({ id: calls, name, given });
        });
    },
  });
}
