// BullMQ across restarts of the backing: workers go on, and jobs from before are done after.

import { Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { check, equal, host, isCluster, port, report } from '../checks.mjs';
import { OUTAGES, outage, until } from './outage.mjs';

const errors = [];
const failed = [];
const connect = () => new Redis({ host, port, maxRetriesPerRequest: null });
// Its keys are used together, so they have to be in one slot of a cluster.
const prefix = isCluster ? '{bull}' : 'bull';

let release;
const held = () => new Promise((go) => { release = go; });
let gate = held();
let begun = 0;

async function perform(job) {
  if (job.name === 'long') {
    begun += 1;
    await gate;
  }
  return job.data.n;
}

function listen(emitter) {
  emitter.on('error', (error) => errors.push(error));
  return emitter;
}

const busy = listen(new Queue('busy', { connection: connect(), prefix }));
const idle = listen(new Queue('idle', { connection: connect(), prefix }));
const events = listen(new QueueEvents('idle', { connection: connect(), prefix }));
const completed = [];
events.on('completed', ({ jobId }) => completed.push(jobId));
const workers = ['busy', 'idle'].map((name) => listen(new Worker(name, perform, { connection: connect(), prefix })));
for (const worker of workers) worker.on('failed', (job, error) => failed.push(error));
await events.waitUntilReady();

const done = async (queue, job) => (await queue.getJob(job.id))?.finishedOn !== undefined;
for (let n = 0; n < OUTAGES; n += 1) {
  const long = await busy.add('long', { n });
  const behind = await busy.add('behind', { n });
  await until('the long job is begun', () => begun === n + 1);
  const before = await idle.add('before', { n });
  await until('the idle worker has done something', () => completed.includes(before.id));
  await outage();
  release();
  gate = held();
  await until('the long job ends', () => done(busy, long));
  await until('the job behind it ends', () => done(busy, behind));
  equal((await busy.getJob(long.id)).returnvalue, n, 'what the long job returned');
  const after = await idle.add('after', { n });
  await until('the idle worker goes on', () => completed.includes(after.id));
}
equal(failed.map((error) => error.message), [], 'jobs that failed');
for (const error of errors) check(!error.message.includes('UPSTREAM'), `told of ${error.message}`);
report('bullmq_worker');
process.exit(0);
