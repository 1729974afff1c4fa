// ioredis across restarts of the backing: it connects again by itself, and sends again what had no answer.

import { Redis } from 'ioredis';
import { check, equal, host, port, report } from '../checks.mjs';
import { OUTAGES, outage, until, Use } from './outage.mjs';

const errors = [];

function connect(options = {}) {
  const redis = new Redis({ host, port, ...options });
  // What the library reports of lost connections.
  redis.on('error', (error) => errors.push(error));
  return redis;
}

const clients = [connect({ protocol: 2 }), connect({ protocol: 3 })];
const uses = clients.map(() => new Use());
clients.forEach((redis, n) => {
  uses[n].over(async () => {
    const replies = await redis.multi().incr(`io:n:${n}`).get(`io:n:${n}`).exec();
    equal(replies[1][1], `${replies[0][1]}`, 'a transaction');
    await redis.get(`io:n:${n}`);
    await redis.eval("return redis.call('INCR', KEYS[1])", 1, `io:n:${n}`);
  });
});

const subscriber = connect();
const heard = [];
subscriber.on('message', (channel, message) => heard.push(message));
await subscriber.subscribe('io:news');

const popper = connect();
const popped = [];
const popping = new Use();
popping.over(async () => {
  const job = await popper.blpop('io:jobs', 30);
  if (job) popped.push(job[1]);
});

const redis = connect();
for (let n = 0; n < OUTAGES; n += 1) {
  for (const use of uses) await use.goesOn('before the outage');
  await redis.set('io:kept', n);
  await outage();
  equal(await redis.get('io:kept'), `${n}`, 'what was written before');
  for (const use of uses) await use.goesOn('after the outage');
  await redis.rpush('io:jobs', `job ${n}`);
  await until('the job is popped', () => popped.includes(`job ${n}`));
  // The subscriber may be about to subscribe again.
  await until('the news', async () => (await redis.publish('io:news', `news ${n}`)) >= 0 && heard.includes(`news ${n}`));
}
for (const use of uses) use.stop = true;
for (const error of [...errors, ...popping.errors, ...uses.flatMap((use) => use.errors)]) {
  check(!error.message.includes('UPSTREAM'), `told of ${error.message}`);
}
report('ioredis');
process.exit(0);
