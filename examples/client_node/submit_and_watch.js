#!/usr/bin/env node
// Submits a small training job and watches it to its end.
//
//   npm install && node submit_and_watch.js --server 127.0.0.1:7070 --data /data/glyphs
//
// --data is a folder on the worker or an artifact ("sha256:…"). Prints a line
// per state, and the outputs at the end. Exit status: 0 succeeded, 1 failed or
// cancelled, 2 bad usage or an error. TRAINYARD_TLS_CA, TRAINYARD_TLS_CERT and
// TRAINYARD_TLS_KEY name PEM files where the server speaks TLS; TRAINYARD_TOKEN,
// or the file TRAINYARD_TOKEN_FILE, holds a token.
import {randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const PROTO = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'proto');
const {UNAVAILABLE, RESOURCE_EXHAUSTED, CANCELLED, DEADLINE_EXCEEDED} = grpc.status;
// Worth another try: the server is away or busy. A submission keeps its
// request_id, so trying again cannot make a second job.
const RETRYABLE = [UNAVAILABLE, RESOURCE_EXHAUSTED];

/** Of the file that an environment variable names; null where it is not set. */
const content = (variable) =>
  process.env[variable] ? readFileSync(process.env[variable]) : null;

/** Sends the token with every call. */
function sendToken(token) {
  return (options, nextCall) => new grpc.InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      metadata.set('authorization', `Bearer ${token}`);
      next(metadata, listener);
    },
  });
}

function connect(server) {
  const definition = protoLoader.loadSync('trainyard/v1/job_service.proto', {
    includeDirs: [PROTO], keepCase: true, longs: String, enums: String, defaults: true});
  const {JobService} = grpc.loadPackageDefinition(definition).trainyard.v1;
  const ca = content('TRAINYARD_TLS_CA');
  const token =
    (process.env.TRAINYARD_TOKEN || String(content('TRAINYARD_TOKEN_FILE') ?? '')).trim();
  if (token && !ca && !/^(127\.|localhost:|\[::1\]:)/.test(server)) {
    throw new Error('TRAINYARD_TLS_CA is not set: the token would go out in plain text');
  }
  const credentials = ca ?
    grpc.credentials.createSsl(ca, content('TRAINYARD_TLS_KEY'), content('TRAINYARD_TLS_CERT')) :
    grpc.credentials.createInsecure();
  return new JobService(server, credentials, {
    interceptors: token ? [sendToken(token)] : [],
    // A proxy for the wide world must not come between programs of one machine.
    'grpc.enable_http_proxy': 0,
    'grpc.keepalive_time_ms': 30000,
  });
}

const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000);

/** Seconds between two tries: doubling from 0.2 to 5. */
function* pauses() {
  for (let pause = 0.2; ; pause = Math.min(pause * 2, 5)) yield pause;
}

async function submit(jobs, request, tries = 5) {
  let attempt = 0;
  for (const pause of pauses()) {
    try {
      return await new Promise((resolve, reject) => {
        jobs.SubmitJob(request, {deadline: inSeconds(30)},
                       (error, response) => error ? reject(error) : resolve(response.job));
      });
    } catch (error) {
      if (!RETRYABLE.includes(error.code) || ++attempt === tries) throw error;
      await sleep(pause * 1000);
    }
  }
}

/** Calls onChange(job) with each change until the job is final; resolves to it. */
async function watch(jobs, name, onChange) {
  let revision = '0';
  let job;
  let waits = pauses();
  for (;;) {
    const request = {filter: {names: [name]}, from_revision: revision, until_final: true};
    try {
      for await (const response of jobs.WatchJobs(request, {deadline: inSeconds(300)})) {
        for (job of response.jobs) onChange(job);
        if (response.revision !== '0') revision = response.revision;  // to go on from here
        waits = pauses();
      }
      return job;
    } catch (error) {
      if (error.code === DEADLINE_EXCEEDED) continue;  // no wait is without end
      if (![...RETRYABLE, CANCELLED].includes(error.code)) throw error;
      console.error(`connection lost (${error.details}); trying again`);
      await sleep(waits.next().value * 1000);
    }
  }
}

async function main() {
  const {values: flags} = parseArgs({options: {
    server: {type: 'string', default: process.env.TRAINYARD_SERVER || '127.0.0.1:7070'},
    data: {type: 'string'},
    architecture: {type: 'string', default: 'mlp'},
    epochs: {type: 'string', default: '1'},
    'request-id': {type: 'string', default: randomUUID()},
  }});
  const epochs = Number(flags.epochs);
  if (!flags.data || !Number.isInteger(epochs) || epochs < 1) {
    throw new TypeError('usage: submit_and_watch.js --data FOLDER|ARTIFACT [--server HOST:PORT] ' +
                        '[--architecture NAME] [--epochs N] [--request-id ID]');
  }
  const source = flags.data.startsWith('sha256:') ? {artifact: flags.data} : {path: flags.data};
  const spec = {
    name: 'example-node',
    training: {
      model: {architecture: flags.architecture},
      data: {format: 'FORMAT_IDX', source},
      epochs,
    },
  };
  const jobs = connect(flags.server);
  try {
    const {name} = await submit(jobs, {request_id: flags['request-id'], spec});
    let shown;
    const job = await watch(jobs, name, ({name, state, reason}) => {
      const line = `${name} ${state.replace('STATE_', '').toLowerCase()} ${reason}`.trimEnd();
      if (line !== shown) console.log(line);
      shown = line;
    });
    for (const output of job.outputs) {
      console.log(`output ${output.name} ${output.size_bytes} bytes ${output.artifact}`);
    }
    return job.state === 'STATE_SUCCEEDED' ? 0 : 1;
  } finally {
    jobs.close();
  }
}

main().then((code) => { process.exitCode = code; }, (error) => {
  console.error(error.details ?? error.message);
  process.exitCode = 2;
});
