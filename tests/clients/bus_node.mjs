// The examples of the bus in Node: a worker that is stopped in the middle of its work, and a caller.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { createClient } from 'redis';
import { equal, host, port, report, until } from './checks.mjs';

const script = (name) => new URL(`./examples/${name}.mjs`, import.meta.url).pathname;
const address = [host, String(port)];

const client = createClient({ RESP: 3, socket: { host, port } });
await client.connect();
const worker = spawn(process.execPath, [script('worker'), ...address], { stdio: 'inherit' });
const waiting = async () => (await client.sendCommand(['BUS.WORKERS', 'words'])).length === 8;
await until('eight workers', waiting);

const words = Array.from({ length: 50 }, (_, number) => `word-${number}`);
const { stdout } = await promisify(execFile)(process.execPath, [script('caller'), ...address, ...words]);
equal(stdout.trim().split('\n'), words.map((word) => [...word].reverse().join('')), 'many calls at a time');

worker.kill('SIGTERM');
const [code] = await once(worker, 'exit');
equal(code, 0, 'the worker ends');
await client.sendCommand(['BUS.CLEANUP', 'words']);
equal(await client.keys('*'), [], 'keys that are left');
await client.close();
report('bus with node-redis');
