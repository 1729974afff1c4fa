// A worker in Node (node-redis): eight calls at a time, a graceful stop. node worker.mjs 127.0.0.1 7379
import { hostname } from 'node:os';
import { createClient } from 'redis';

const [host = '127.0.0.1', port = 7379] = process.argv.slice(2);
let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { stopping = true; });

const reverse = async (call) => [...call.payload].reverse().join(''); // the work

async function work(number) {
  // A connection of its own: a call is lost when the connection that fetched it closes.
  const client = createClient({ RESP: 3, socket: { host, port: Number(port) } });
  client.on('error', (error) => console.error(error.message)); // it connects again by itself
  await client.connect();
  const name = `${hostname()}-${process.pid}-${number}`;
  while (!stopping) {
    await client.sendCommand(['BUS.REGISTER', 'words', 'reverse']); // the same again changes nothing
    const calls = await client.sendCommand(['BUS.FETCH', 'words', name, 'reverse', 'TIMEOUT', '1000']);
    for (const call of calls ?? []) {
      const which = ['words', call.id, call.token];
      try {
        await client.sendCommand(['BUS.REPLY', ...which, await reverse(call)]);
      } catch (error) { // whatever it is, the caller is to know
        await client.sendCommand(['BUS.FAIL', ...which, error.name, error.message]);
      }
    }
  }
  await client.close(); // what was in hand is finished
}

await Promise.all(Array.from({ length: 8 }, (_, number) => work(number)));
