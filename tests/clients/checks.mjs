// What the Node scripts share: counting checks.

import { isDeepStrictEqual, inspect } from 'node:util';

let checks = 0;

/** The server under test. */
export const host = process.env.RESPITE_HOST ?? '127.0.0.1';
export const port = Number(process.env.RESPITE_PORT);
/** Whether a cluster is behind: it has one database. */
export const isCluster = process.env.RESPITE_CLUSTER === '1';

/** Counts one check; a false one ends the run. */
export function check(condition, what) {
  checks += 1;
  if (!condition) throw new Error(what);
}

/** Checks equality by value; objects without a prototype count as objects. */
export function equal(actual, expected, what) {
  const plain = (value) => (value && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Map)
    ? { ...value } : value);
  check(isDeepStrictEqual(plain(actual), plain(expected)), `${what}: ${inspect(actual)} is not ${inspect(expected)}`);
}

/** Checks that a promise is rejected with a message that contains `text`. */
export async function rejects(promise, text, what) {
  let message = 'nothing';
  try {
    await promise;
  } catch (error) {
    message = error.message;
  }
  check(message.includes(text), `${what}: ${message} does not contain ${text}`);
}

/** Resolves with the first `count` values that `subscribe(push)` hands over. */
export function collect(count, what) {
  const values = [];
  let push;
  const done = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: only ${inspect(values)}`)), 5000);
    push = (value) => {
      values.push(value);
      if (values.length === count) {
        clearTimeout(timer);
        resolve(values);
      }
    };
  });
  return { push, done };
}

/** Looks until `look` is true. */
export async function until(what, look) {
  const end = Date.now() + 5000;
  while (!(await look())) {
    check(Date.now() < end, `in vain: ${what}`);
    // A look that needs no network must not keep the network from being heard.
    await new Promise((next) => setImmediate(next));
  }
}

/** Prints how many checks held. */
export function report(name) {
  console.log(`${name}: ${checks} checks`);
}

// a script that hangs is a failure too
setTimeout(() => {
  console.error('no end after 60 s');
  process.exit(1);
}, 60_000).unref();
