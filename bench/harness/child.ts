/** Processes of the benchmark: each answers named calls over IPC, and none is waited for without a limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Calls } from './answer.js';
import { compiled, ROOT } from './compile.js';
import { pinned } from './machine.js';

interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

const KEPT_STDERR = 2000;

export class Child<C extends Calls> {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #stderr = '';
  /** Why no further call can succeed. */
  #dead: Error | undefined;
  readonly #exited: Promise<void>;

  /** `entry` is a file of bench/; `core` pins the process where the machine allows it. */
  constructor(
    name: string,
    entry: string,
    options: { core?: number; arguments?: string[]; node?: string[] },
  ) {
    const [command, ...rest] = pinned(options.core, [
      process.execPath,
      ...(options.node ?? []),
      compiled(entry),
      ...(options.arguments ?? []),
    ]);
    this.#name = name;
    this.#process = spawn(command, rest, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      serialization: 'advanced',
      // `ws` would leave its native masking out.
      env: { ...process.env, WS_NO_BUFFER_UTIL: undefined, WS_NO_UTF_8_VALIDATE: undefined },
    });
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-KEPT_STDERR);
    });
    this.#process.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (waiting === undefined) return;
      clearTimeout(waiting.timer);
      if (answer.error === undefined) waiting.resolve(answer.result);
      else waiting.reject(new Error(answer.error));
    });
    this.#process.on('error', (error) => this.#die(error));
    // Its last words on stderr may come after its exit. ('close' would tell of both, but not after disconnect().)
    const silent = new Promise((resolve) => this.#process.stderr?.on('close', resolve));
    this.#exited = new Promise((resolve) => {
      this.#process.on('exit', async (code, signal) => {
        await silent;
        this.#die(new Error(`${name} ended by ${signal ?? `exit code ${code}`}\n${this.#stderr}`.trimEnd()));
        resolve();
      });
    });
  }

  call<K extends keyof C & string>(
    call: K,
    argument: Parameters<C[K]>[0],
    milliseconds: number,
  ): Promise<Awaited<ReturnType<C[K]>>> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) {
        reject(this.#dead);
        return;
      }
      const id = this.#calls++;
      const timer = setTimeout(() => {
        this.#die(new Error(`${this.#name}: no answer to '${call}' within ${milliseconds / 1000} s`));
        this.#process.kill('SIGKILL');
      }, milliseconds);
      this.#waiting.set(id, { resolve: (result) => resolve(result as never), reject, timer });
      this.#process.send({ id, call, argument }, (error) => error !== null && this.#die(error));
    });
  }

  /** Lets the process end by itself, so that a profile it writes is complete; then makes sure. */
  async stop(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
    await this.#exited;
    clearTimeout(timer);
  }

  #die(error: Error): void {
    this.#dead ??= error;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#dead);
    }
    this.#waiting.clear();
  }
}
