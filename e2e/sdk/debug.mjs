// What the scheduler tells a requester of its tasks, found through the compass as the SDK does it; one line of JSON per task: { task, info, logs }.
//
//   node e2e/sdk/debug.mjs '{"devnet":"target/devnet","tasks":["0x…"],"logs":true}'

import { connect } from './buyer.mjs';
import { run, say } from './spec.mjs';

await run(async (spec) => {
  // Logs are for the requester only: the SDK signs the scheduler's challenge with this key.
  const requester = connect(spec, spec.keys.requester);
  for (const task of spec.tasks) {
    const info = await requester.task.fetchOffchainInfo(task);
    const logs = spec.logs ? await requester.task.fetchLogs(task) : undefined;
    say({ task, info, logs });
  }
});
