// ioredis' Cluster against a Respite that is announced as a cluster of one node.

import { Cluster } from 'ioredis';
import { check, collect, equal, host, port, report } from './checks.mjs';

async function life(options) {
  const cluster = new Cluster([{ host, port }], options);
  cluster.on('error', (error) => { throw error; });
  await new Promise((resolve) => cluster.once('ready', resolve));
  equal(cluster.nodes('master').map(({ options: o }) => `${o.host}:${o.port}`), [`${host}:${port}`], 'the masters');
  await Promise.all(Array.from({ length: 200 }, (_, n) => cluster.set(`k:${n}`, n)));
  const values = await Promise.all(Array.from({ length: 200 }, (_, n) => cluster.get(`k:${n}`)));
  check(values.every((value, n) => value === `${n}`), 'what was set');
  equal(await cluster.hset('h', 'a', 1) <= 1, true, 'hset');
  equal(await cluster.hgetall('h'), { a: '1' }, 'hgetall');
  equal(await cluster.mget('{m}a', '{m}b'), [null, null], 'mget of one slot');
  const pipeline = cluster.pipeline();
  for (let n = 0; n < 500; n += 1) pipeline.set(`{p}${n}`, n).get(`{p}${n}`);
  const replies = await pipeline.exec();
  check(replies.every(([error, value], n) => !error && value === (n % 2 ? `${(n - 1) / 2}` : 'OK')), 'pipeline');
  cluster.defineCommand('twice', { numberOfKeys: 1, lua: 'return {KEYS[1], KEYS[1]}' });
  equal(await cluster.twice('k:1'), ['k:1', 'k:1'], 'a script');
  equal(await cluster.cluster('KEYSLOT', 'foo'), 12182, 'keyslot');
  const messages = collect(1, 'messages');
  cluster.on('message', (channel, message) => messages.push(`${channel}=${message}`));
  await cluster.subscribe('news');
  equal(await cluster.publish('news', 'x'), 1, 'publish');
  equal(await messages.done, ['news=x'], 'a message');
  await cluster.quit();
}

await life({});
await life({ scaleReads: 'slave' });
report('ioredis_cluster');
