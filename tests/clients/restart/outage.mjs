// What the Node scripts share: outages of the backing. The test says in a line on standard input that the backing is
// back; it takes it away when a script has printed `ready`.

import { createInterface } from 'node:readline';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const OUTAGES = 2;

/** Lets the backing go away and come back. */
export async function outage() {
  console.log('ready');
  if ((await lines.next()).done) throw new Error('the test has ended');
}

/** Looks until `look` is true; nothing but a failure takes that long. */
export async function until(what, look) {
  const end = Date.now() + 40_000;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

/** What a client that is used all the time has done and was told. */
export class Use {
  done = 0;

  errors = [];

  stop = false;

  /** Runs `step` over and over. */
  async over(step) {
    while (!this.stop) {
      try {
        await step();
        this.done += 1;
      } catch (error) {
        this.errors.push(error);
      }
      await new Promise((next) => setTimeout(next, 2));
    }
  }

  /** Waits until it has gone on for some steps. */
  async goesOn(what) {
    const before = this.done;
    await until(what, () => this.done > before + 2);
  }
}
