/** For the consumers that ask for `ws` by its name: they are given the subject, as by npm's `overrides`. */
import { createRequire, Module } from 'node:module';
import { join } from 'node:path';
import { WebSocket } from './subject.js';

const require = createRequire(import.meta.url);

/**
 * Loads a consumer's CommonJS form, each time anew.
 * @param asking the way to the package that asks for `ws`, the consumer first
 */
export function loadWithSubject(consumer: string, ...asking: string[]): unknown {
  let ask = require;
  for (const name of [consumer, ...asking]) ask = createRequire(ask.resolve(name));
  for (const loaded of Object.keys(require.cache)) {
    if (loaded.includes(join('node_modules', consumer, '/'))) delete require.cache[loaded];
  }
  const path = ask.resolve('ws');
  require.cache[path] = Object.assign(new Module(path), { loaded: true, exports: WebSocket });
  return require(consumer);
}
