/** The contenders of one transport: a process each, started when its first case comes. */
import { Child } from './child.js';
import type { ContenderCalls } from './contender-process.js';
import { cores } from './machine.js';
import { PATIENCE } from './turns.js';
import type { Transport } from './workload.js';

/** What the report says of the contenders. */
export interface Programme {
  readonly subjects: Record<string, string>;
  readonly failures: string[];
}

export class Troupe {
  readonly transport: Transport;
  readonly #programme: Programme;
  /** Undefined: one that cannot take part. */
  readonly #members = new Map<string, Child<ContenderCalls> | undefined>();

  constructor(transport: Transport, programme: Programme) {
    this.transport = transport;
    this.#programme = programme;
  }

  /** Those of `names` that can take part. */
  async cast(names: readonly string[]): Promise<Map<string, Child<ContenderCalls>>> {
    const able = new Map<string, Child<ContenderCalls>>();
    for (const name of names) {
      if (!this.#members.has(name)) this.#members.set(name, await this.#start(name));
      const member = this.#members.get(name);
      if (member !== undefined) able.set(name, member);
    }
    return able;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#members.values()].map((child) => child?.stop()));
  }

  async #start(name: string): Promise<Child<ContenderCalls> | undefined> {
    const { subjects, failures } = this.#programme;
    const child = new Child<ContenderCalls>(`${name} (${this.transport})`, 'harness/contender-process.ts', {
      core: cores?.contender,
      arguments: [name],
    });
    try {
      const { subject, note, unsupported } = await child.call('about', undefined, PATIENCE);
      subjects[name] = unsupported === undefined ? `${subject}: ${note}` : `not supported: ${unsupported}`;
      if (unsupported === undefined) return child;
    } catch (error) {
      failures.push(String(error));
    }
    await child.stop();
    return undefined;
  }
}
