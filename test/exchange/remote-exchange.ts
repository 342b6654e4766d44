/** The exchange in another process, from this side. */
import { type ChildProcess, fork } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Call, ExchangeCalls } from './exchange-process.js';

export const EXCHANGE_PROCESS = fileURLToPath(new URL('./exchange-process.ts', import.meta.url));

export class RemoteExchange {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (result: never) => void>();
  #lastId = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', ({ id, result }: { id: number; result: never }) => {
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
  }

  call<Name extends keyof ExchangeCalls>(
    name: Name,
    argument: Parameters<ExchangeCalls[Name]>[0],
  ): Promise<ReturnType<ExchangeCalls[Name]>> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, name, argument: argument as never } satisfies Call);
    });
  }
}

/** Next door: in a process of its own, on the loopback. */
export function exchangeNextDoor(t: TestContext): RemoteExchange {
  const child = fork(EXCHANGE_PROCESS, [], { execArgv: ['--import=tsx'] });
  t.after(() => child.kill('SIGKILL'));
  return new RemoteExchange(child);
}
