// A caller in Node (node-redis): many calls at a time, and what an error means. node caller.mjs 127.0.0.1 7379 hello world
import { createClient } from 'redis';

const [host = '127.0.0.1', port = 7379, ...words] = process.argv.slice(2);
const client = createClient({ RESP: 3, socket: { host, port: Number(port) } });
client.on('error', (error) => console.error(error.message));
await client.connect();

async function call(word) {
  try {
    return await client.sendCommand(['BUS.CALL', 'words', 'reverse', 'TIMEOUT', '5000', 'PAYLOAD', word]);
  } catch (error) {
    // NOWORKER, BUSY: nobody had it. WORKERLOST, DEADLINE: somebody may have. BUSFAIL: the worker says no.
    return `${word}: ${error.message}`;
  }
}

for (const result of await Promise.all(words.map(call))) console.log(result);
await client.close();
