// node-redis across restarts of the backing: it connects again by itself.

import { createClient } from 'redis';
import { check, equal, host, port, report } from '../checks.mjs';
import { OUTAGES, outage, until, Use } from './outage.mjs';

const errors = [];

async function connect(options = {}) {
  const client = createClient({ socket: { host, port }, ...options });
  // What the library reports of lost connections.
  client.on('error', (error) => errors.push(error));
  await client.connect();
  return client;
}

const clients = [await connect({ RESP: 2 }), await connect({ RESP: 3 })];
const uses = clients.map(() => new Use());
clients.forEach((client, n) => {
  uses[n].over(async () => {
    const replies = await client.multi().incr(`node:n:${n}`).get(`node:n:${n}`).exec();
    equal(replies[1], `${replies[0]}`, 'a transaction');
    await client.get(`node:n:${n}`);
    await client.eval("return redis.call('INCR', KEYS[1])", { keys: [`node:n:${n}`] });
  });
});

const subscriber = await connect();
const heard = [];
await subscriber.subscribe('node:news', (message) => heard.push(message));

const popper = await connect();
const popped = [];
const popping = new Use();
popping.over(async () => {
  const job = await popper.blPop('node:jobs', 30);
  if (job) popped.push(job.element);
});

const client = await connect();
const ask = async (question) => {
  try {
    return await question();
  } catch (error) {
    errors.push(error);
    return undefined;
  }
};
for (let n = 0; n < OUTAGES; n += 1) {
  for (const use of uses) await use.goesOn('before the outage');
  await client.set('node:kept', `${n}`);
  await outage();
  await until('what was written before', async () => (await ask(() => client.get('node:kept'))) === `${n}`);
  for (const use of uses) await use.goesOn('after the outage');
  await until('a push', () => ask(() => client.rPush('node:jobs', `job ${n}`)));
  await until('the job is popped', () => popped.includes(`job ${n}`));
  // The subscriber may be about to subscribe again.
  await until('the news', async () => (await ask(() => client.publish('node:news', `news ${n}`))) >= 0 && heard.includes(`news ${n}`));
}
for (const use of uses) use.stop = true;
for (const error of [...errors, ...popping.errors, ...uses.flatMap((use) => use.errors)]) {
  check(!error.message.includes('UPSTREAM'), `told of ${error.message}`);
}
report('node_redis');
process.exit(0);
