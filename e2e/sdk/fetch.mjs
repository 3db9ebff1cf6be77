// Downloads results into a folder and prints one line of JSON per task: { task, via, location, file, bytes, sha256 }.
//
//   node e2e/sdk/fetch.mjs '{"devnet":"target/devnet","out":"target/results","tasks":["0x…",{"task":"0x…","via":"location"}]}'
//
// "sdk" (the default) is the SDK's task.fetchResults; "location" reads where the result is from the chain and asks the gateway itself, as a requester
// must for a task with several contributors.

import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { connect } from './buyer.mjs';
import { run, say } from './spec.mjs';
import { locationOnChain } from './task.mjs';

const byLocation = async (spec, location) => fetch(new URL(location, spec.gateway), { headers: { accept: 'application/zip' } });

await run(async (spec) => {
  await mkdir(spec.out, { recursive: true });
  const reader = connect(spec);
  for (const wish of spec.tasks) {
    const { task, via = 'sdk' } = typeof wish === 'string' ? { task: wish } : wish;
    const location = await locationOnChain(spec, task);
    const response = via === 'sdk' ? await reader.task.fetchResults(task) : await byLocation(spec, location);
    if (!response.ok) throw new Error(`the gateway answered ${response.status} for ${location} of task ${task}`);
    const content = Buffer.from(await response.arrayBuffer());
    const file = join(spec.out, `${task}.zip`);
    await writeFile(file, content);
    say({ task, via, location, file, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') });
  }
});
