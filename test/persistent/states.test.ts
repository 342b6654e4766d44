/** The state machine: every step observed, and none that is not in the diagram. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type PersistentState, StateMachine, type Transition, WAYS } from '../../src/persistent/states.js';

const states = Object.keys(WAYS) as PersistentState[];

describe('the state machine', () => {
  for (const from of states) {
    for (const to of states) {
      const exists = WAYS[from].includes(to);
      test(`${from} ${exists ? 'leads' : 'does not lead'} to ${to}`, () => {
        const seen: Transition[] = [];
        const machine = at(from, seen);
        const go = (): void => machine.go(to, { epoch: 3, at: 7 });
        if (exists) {
          go();
          assert.deepEqual(seen, [{ from, to, epoch: 3, at: 7 }]);
          assert.equal(machine.current, to);
        } else {
          assert.throws(go, /No way leads/);
          assert.deepEqual(seen, []);
          assert.equal(machine.current, from);
        }
      });
    }
  }

  test('every state but the last leads to closed, and closed leads nowhere', () => {
    for (const from of states) assert.equal(WAYS[from].includes('closed'), from !== 'closed', from);
    assert.deepEqual(WAYS.closed, []);
  });

  test('docs/persistent.md draws exactly these ways', () => {
    const document = readFileSync(new URL('../../docs/persistent.md', import.meta.url), 'utf8');
    const diagram = /```mermaid\n([^`]+)```/.exec(document)?.[1] ?? '';
    const drawn = [...diagram.matchAll(/^\s*([\w-]+) --> ([\w-]+)/gm)].map(([, from, to]) => `${from} ${to}`);
    const ways = states.flatMap((from) => WAYS[from].map((to) => `${from} ${to}`));
    assert.deepEqual(drawn.sort(), ways.sort());
  });
});

/** A machine that has come to `state` by the shortest way, and observes from there. */
function at(state: PersistentState, seen: Transition[]): StateMachine {
  const observed = { on: false };
  const machine = new StateMachine((transition) => {
    if (observed.on) seen.push(transition);
  });
  for (const step of wayTo(state)) machine.go(step, { epoch: 1, at: 0 });
  observed.on = true;
  return machine;
}

function wayTo(goal: PersistentState): PersistentState[] {
  const ways: [PersistentState, PersistentState[]][] = [['idle', []]];
  for (const [state, way] of ways) {
    if (state === goal) return way;
    for (const next of WAYS[state]) {
      if (!ways.some(([known]) => known === next)) ways.push([next, [...way, next]]);
    }
  }
  throw new Error(`nothing leads to ${goal}`);
}
