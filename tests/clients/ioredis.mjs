// ioredis at ordinary life, in RESP2 and RESP3. Its ready check reads INFO before the first command.

import { Redis } from 'ioredis';
import { check, collect, equal, host, isCluster, port, rejects, report, until } from './checks.mjs';

let protocol = 2;

function connect(options = {}) {
  const redis = new Redis({ host, port, protocol, enableReadyCheck: true, maxRetriesPerRequest: 1, ...options });
  redis.on('error', (error) => { throw error; });
  return redis;
}

async function basics(redis) {
  await redis.flushall();
  equal(redis.status, 'ready', 'the ready check');
  equal(await redis.set('k', 'v'), 'OK', 'set');
  equal(await redis.get('k'), 'v', 'get');
  equal(await redis.get('missing'), null, 'get of a missing key');
  equal(await redis.set('k', 'w', 'EX', 100, 'NX'), null, 'set nx');
  equal(await redis.hset('h', { a: 1, b: 2 }), 2, 'hset');
  equal(await redis.hgetall('h'), { a: '1', b: '2' }, 'hgetall');
  equal(await redis.zadd('z', 1, 'a', 2, 'b'), 2, 'zadd');
  equal(await redis.zrange('z', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2'], 'zrange');
  equal(await redis.rpush('l', 1, 2, 3), 3, 'rpush');
  equal(await redis.call('LRANGE', 'l', 0, -1), ['1', '2', '3'], 'call');
  const bytes = Buffer.alloc(1 << 20, 9);
  await redis.set('bin', bytes);
  check(bytes.equals(await redis.getBuffer('bin')), 'a megabyte of bytes');
  await rejects(redis.incr('l'), 'WRONGTYPE', 'wrong type');
  await rejects(redis.call('NOSUCH'), 'unknown command', 'unknown command');
  check((await redis.info('server')).includes('redis_version:'), 'info');
}

async function batches(redis) {
  const pipeline = redis.pipeline();
  for (let n = 0; n < 1000; n += 1) pipeline.set(`p:${n}`, n).get(`p:${n}`);
  const replies = await pipeline.exec();
  check(replies.length === 2000 && replies.every(([error]) => !error), 'pipeline');
  check(replies.every(([, value], n) => value === (n % 2 ? `${(n - 1) / 2}` : 'OK')), 'pipeline replies in order');
  equal(await redis.multi().set('t', 1).incr('t').get('t').exec(), [[null, 'OK'], [null, 2], [null, '2']], 'multi');
  const mixed = await redis.multi().set('t', 'text').incr('t').get('t').exec();
  check(mixed[1][0] instanceof Error && mixed[2][1] === 'text', 'an error in a transaction');
  await redis.multi({ pipeline: false });
  equal(await redis.set('t', 1), 'QUEUED', 'multi without a pipeline');
  equal(await redis.exec(), [[null, 'OK']], 'exec');
  const other = connect();
  await redis.watch('w');
  await other.set('w', 'changed');
  equal(await redis.multi().set('w', 'mine').exec(), null, 'a watched key changed');
  equal(await redis.get('w'), 'changed', 'an aborted transaction changes nothing');
  await rejects(redis.multi().set('a').exec(), 'EXECABORT', 'a bad command in a transaction');
  other.disconnect();
}

async function publishing(redis) {
  const subscriber = connect();
  const messages = collect(3, 'messages');
  subscriber.on('message', (channel, message) => messages.push(`${channel}=${message}`));
  subscriber.on('pmessage', (pattern, channel, message) => messages.push(`${pattern}:${channel}=${message}`));
  equal(await subscriber.subscribe('one', 'two'), 2, 'subscribe');
  equal(await subscriber.psubscribe('news.*'), 3, 'psubscribe');
  await redis.publish('one', 'a');
  await redis.publish('two', 'b');
  await redis.publish('news.x', 'c');
  equal(await messages.done, ['one=a', 'two=b', 'news.*:news.x=c'], 'messages');
  if (protocol === 3) equal(await subscriber.get('k'), 'v', 'commands of a subscriber');
  else await rejects(subscriber.get('k'), 'subscriber mode', 'commands of a subscriber');
  await subscriber.unsubscribe('one', 'two');
  await subscriber.punsubscribe('news.*');
  equal(await subscriber.get('k'), 'v', 'an ordinary client again');
  subscriber.disconnect();
}

async function scripts() {
  const redis = connect({ keyPrefix: 'pre:' });
  redis.defineCommand('addto', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  equal(await redis.addto('n', 2), 2, 'defineCommand');
  await redis.script('FLUSH');
  equal(await redis.addto('n', 3), 5, 'defineCommand after SCRIPT FLUSH');
  equal(await redis.get('n'), '5', "a script's write is seen, under the prefix");
  const replies = await redis.pipeline().addto('n', 1).get('n').exec();
  equal(replies, [[null, 6], [null, '6']], 'a script in a pipeline');
  const bare = connect();
  equal(await bare.get('pre:n'), '6', 'keyPrefix');
  bare.disconnect();
  redis.disconnect();
}

async function blocking(redis) {
  const waiter = connect();
  const popped = waiter.blpop('queue', 5);
  await until('the waiter is blocked', async () => (await redis.client('LIST')).includes('cmd=blpop'));
  await redis.rpush('queue', 'job');
  equal(await popped, ['queue', 'job'], 'blpop');
  equal(await waiter.blpop('queue', 0.05), null, 'blpop with nothing there');
  const reading = waiter.xread('BLOCK', 5000, 'STREAMS', 'st', '$');
  await until('the reader is blocked', async () => (await redis.client('LIST')).includes('cmd=xread'));
  const id = await redis.xadd('st', '*', 'a', '1');
  equal(await reading, [['st', [[id, ['a', '1']]]]], 'xread');
  waiter.disconnect();
}

async function autopipelining() {
  const redis = connect({ enableAutoPipelining: true });
  await Promise.all(Array.from({ length: 500 }, (_, n) => redis.set(`auto:${n}`, n)));
  const values = await Promise.all(Array.from({ length: 500 }, (_, n) => redis.get(`auto:${n}`)));
  check(values.every((value, n) => value === `${n}`), 'autopipelining');
  const found = new Set();
  for await (const keys of redis.scanStream({ match: 'auto:*', count: 50 })) keys.forEach((key) => found.add(key));
  equal(found.size, 500, 'scanStream');
  redis.disconnect();
}

async function reconnecting(redis) {
  const victim = connect({ db: isCluster ? 0 : 2, connectionName: 'victim', retryStrategy: () => 10 });
  await victim.set('where', 'two');
  equal(await victim.client('GETNAME'), 'victim', 'connectionName');
  const again = new Promise((resolve) => { victim.once('close', () => victim.once('ready', resolve)); });
  equal(await redis.client('KILL', 'ID', await victim.client('ID')), 1, 'client kill');
  await again;
  equal(await victim.get('where'), 'two', 'back in its database after a reconnect');
  equal(await victim.client('GETNAME'), 'victim', 'and with its name');
  equal(await victim.quit(), 'OK', 'quit');
}

for (protocol of [2, 3]) {
  const redis = connect();
  await new Promise((resolve) => { redis.once('ready', resolve); });
  await basics(redis);
  await batches(redis);
  await publishing(redis);
  await scripts();
  await blocking(redis);
  await autopipelining();
  await reconnecting(redis);
  redis.disconnect();
}
report('ioredis');
