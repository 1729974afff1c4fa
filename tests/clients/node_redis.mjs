// node-redis at ordinary life, in RESP2 and RESP3.

import { createClient, createClientPool, defineScript, RESP_TYPES, WatchError } from 'redis';
import { check, collect, equal, host, isCluster, port, rejects, report, until } from './checks.mjs';

async function connect(RESP, options = {}) {
  const client = createClient({ RESP, socket: { host, port, reconnectStrategy: false }, ...options });
  client.on('error', (error) => { throw error; });
  await client.connect();
  return client;
}

async function basics(client) {
  await client.flushAll();
  equal(await client.ping(), 'PONG', 'ping');
  equal(await client.set('k', 'v'), 'OK', 'set');
  equal(await client.get('k'), 'v', 'get');
  equal(await client.get('missing'), null, 'get of a missing key');
  equal(await client.set('k', 'w', { condition: 'NX' }), null, 'set nx');
  equal(await client.set('e', 'x', { expiration: { type: 'EX', value: 100 } }), 'OK', 'set ex');
  check(await client.ttl('e') > 90, 'ttl');
  equal(await client.incrBy('n', 5), 5, 'incrBy');
  equal(await client.mGet(['k', 'missing']), ['v', null], 'mGet');
  equal(await client.hSet('h', { a: '1', b: '2' }), 2, 'hSet');
  equal(await client.hGetAll('h'), { a: '1', b: '2' }, 'hGetAll');
  equal(await client.rPush('l', ['1', '2', '3']), 3, 'rPush');
  equal(await client.lRange('l', 0, -1), ['1', '2', '3'], 'lRange');
  equal(await client.zAdd('z', [{ score: 1.5, value: 'a' }]), 1, 'zAdd');
  equal(await client.zScore('z', 'a'), 1.5, 'zScore');
  equal(await client.zRangeWithScores('z', 0, -1), [{ value: 'a', score: 1.5 }].map((x) => ({ ...x })), 'zRange');
  equal(await client.sAdd('s', ['x', 'y']), 2, 'sAdd');
  equal([...await client.sMembers('s')].sort(), ['x', 'y'], 'sMembers');
  equal(await client.sendCommand(['STRLEN', 'k']), 1, 'sendCommand');
  equal(await client.exists(['k', 'h', 'gone']), 2, 'exists');
  await rejects(client.incr('l'), 'WRONGTYPE', 'wrong type');
  await rejects(client.sendCommand(['NOSUCH', 'x']), 'unknown command', 'unknown command');
  const bytes = Buffer.alloc(1 << 20, 7);
  await client.set('bin', bytes);
  const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  check(bytes.equals(await buffers.get('bin')), 'a megabyte of bytes');
  check((await client.info()).includes('redis_version:'), 'info');
  check((await client.commandCount()) > 200, 'commandCount');
  equal(await client.clientSetName('me'), 'OK', 'clientSetName');
  equal(await client.clientGetName(), 'me', 'clientGetName');
  check(await client.clientId() > 0, 'clientId');
}

async function transactions(client, RESP) {
  equal(await client.multi().set('t', '1').incr('t').get('t').exec(), ['OK', 2, '2'], 'multi');
  equal(await client.multi().set('t', '1').get('t').execAsPipeline(), ['OK', '1'], 'a pipeline');
  const many = await Promise.all(Array.from({ length: 2000 }, (_, n) => client.set(`p:${n}`, `${n}`)));
  check(many.every((reply) => reply === 'OK'), 'commands sent together');
  const values = await Promise.all(Array.from({ length: 2000 }, (_, n) => client.get(`p:${n}`)));
  check(values.every((value, n) => value === `${n}`), 'replies in order');

  const other = await connect(RESP);
  await client.watch('w');
  await other.set('w', 'changed');
  let aborted = false;
  try {
    await client.multi().set('w', 'mine').exec();
  } catch (error) {
    aborted = error instanceof WatchError;
  }
  check(aborted, 'a watched key changed: exec fails');
  equal(await client.get('w'), 'changed', 'an aborted transaction changes nothing');
  await client.watch('w');
  equal(await client.multi().set('w', 'mine').exec(), ['OK'], 'watched and unchanged');
  if (isCluster) {
    await rejects(client.select(2), 'SELECT is not allowed in cluster mode', 'select');
  } else {
    await client.select(2);
    equal(await client.get('w'), null, 'select');
    await client.select(0);
  }
  equal(await client.get('w'), 'mine', 'select back');
  await other.close();
}

async function publishing(client) {
  const subscriber = client.duplicate();
  subscriber.on('error', (error) => { throw error; });
  await subscriber.connect();
  const messages = collect(2, 'messages');
  await subscriber.subscribe('ch', (message, channel) => messages.push(`${channel}=${message}`));
  equal(await client.publish('ch', 'one'), 1, 'publish');
  await client.publish('ch', 'two');
  equal(await messages.done, ['ch=one', 'ch=two'], 'messages');
  const matched = collect(1, 'pattern messages');
  await subscriber.pSubscribe('news.*', (message, channel) => matched.push(`${channel}=${message}`));
  await client.publish('news.art', 'x');
  equal(await matched.done, ['news.art=x'], 'pSubscribe');
  const version = /redis_version:(\d+)/.exec(await client.info('server'));
  if (Number(version[1]) >= 7) {
    const sharded = collect(1, 'sharded messages');
    await subscriber.sSubscribe('shard', (message) => sharded.push(message));
    await client.sPublish('shard', 'y');
    equal(await sharded.done, ['y'], 'sSubscribe');
  }
  await subscriber.unsubscribe('ch');
  await subscriber.pUnsubscribe();
  if (Number(version[1]) >= 7) await subscriber.sUnsubscribe();
  equal(await client.publish('ch', 'x'), 0, 'unsubscribed');
  // node-redis itself replies with a Buffer here in RESP2
  equal(`${await subscriber.get('k')}`, 'v', 'an ordinary client again');
  await subscriber.close();
}

async function blocking(client, RESP) {
  const waiter = await connect(RESP);
  const popped = waiter.blPop('queue', 5);
  await until('the waiter is blocked', async () => (await client.clientList()).some(({ cmd }) => cmd === 'blpop'));
  equal(await client.get('k'), 'v', 'others go on while one waits');
  await client.rPush('queue', 'job');
  equal(await popped, { key: 'queue', element: 'job' }, 'blPop');
  equal(await waiter.blPop('queue', 0.05), null, 'blPop with nothing there');
  await waiter.close();
  const pool = await createClientPool({ RESP, socket: { host, port } }, { minimum: 2 }).connect();
  const isolated = await pool.execute(async (one) => {
    await one.watch('pool');
    return one.multi().set('pool', '1').get('pool').exec();
  });
  equal(isolated, ['OK', '1'], 'a client of the pool for oneself');
  pool.destroy();
}

async function rest(client, RESP) {
  await client.flushDb();
  await client.mSet(Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`scan:${n}`, 'x'])));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 50 })) keys.forEach((key) => found.add(key));
  equal(found.size, 300, 'scanIterator');
  const id = await client.xAdd('st', '*', { a: '1' });
  await client.xGroupCreate('st', 'g', '0');
  const read = await client.xReadGroup('g', 'me', { key: 'st', id: '>' });
  check(JSON.stringify(read).includes(id), 'xReadGroup');
  equal(await client.xAck('st', 'g', id), 1, 'xAck');
  const add = defineScript({
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, by) { parser.pushKey(key); parser.push(`${by}`); },
    transformReply: (reply) => reply,
  });
  const scripted = await connect(RESP, { scripts: { add } });
  equal(await scripted.add('count', 2), 2, 'a script, first EVAL');
  equal(await scripted.add('count', 3), 5, 'a script, then EVALSHA');
  equal(await client.get('count'), '5', "a script's write is seen");
  await scripted.close();
}

for (const RESP of [2, 3]) {
  const client = await connect(RESP);
  await basics(client);
  await transactions(client, RESP);
  await publishing(client);
  await blocking(client, RESP);
  await rest(client, RESP);
  await client.close();
}
async function clientSideCache() {
  const cached = await connect(3, { clientSideCache: { ttl: 0, maxEntries: 100 } });
  const writer = await connect(3);
  await writer.set('csc', 'one');
  equal(await cached.get('csc'), 'one', 'client side cache');
  equal(await cached.get('csc'), 'one', 'client side cache, a hit');
  await writer.set('csc', 'two');
  await until('an invalidation reaches the client', async () => (await cached.get('csc')) === 'two');
  await cached.close();
  await writer.close();
}

if (!isCluster) await clientSideCache();
report('node-redis');
