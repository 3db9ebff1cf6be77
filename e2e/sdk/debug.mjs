// What the scheduler tells a requester of its tasks, found through the compass as the SDK does it; one line of JSON per task: { task, info, logs }.
//
//   node e2e/sdk/debug.mjs '{"devnet":"target/devnet","tasks":["0x…"],"logs":true}'
//
// With "as": "<key>" somebody else asks. The SDK does not even try then, which is told as { refused }; so what it would do is done here by hand, and
// the scheduler's own answer is told as { status, answer }.

import { utils } from 'iexec8';

import { connect } from './buyer.mjs';
import { run, say } from './spec.mjs';

// The token that the SDK makes of the scheduler's challenge.
const tokenOf = async (api, chainId, signer) => {
  const address = await signer.getAddress();
  const { types, domain, message } = await (await fetch(`${api}/tasks/logs/challenge?chainId=${chainId}&address=${address}`)).json();
  const { EIP712Domain, ...signed } = types;
  const signature = await signer.signTypedData(domain, signed, message);
  return `0x${'00'.repeat(32)}_${signature}_${address}`;
};

const askByHand = async (spec, task) => {
  const signer = utils.getSignerFromPrivateKey(spec.rpc, spec.as);
  const { chainId } = await signer.provider.getNetwork();
  const { apiUrl } = await (await fetch(`${spec.compass}/${chainId}/workerpools/${spec.workerpool}`)).json();
  const authorization = await tokenOf(apiUrl, chainId, signer);
  const response = await fetch(`${apiUrl}/tasks/${task}/logs`, { headers: { authorization } });
  return { status: response.status, answer: await response.json() };
};

await run(async (spec) => {
  // Logs are for the requester only: the SDK signs the scheduler's challenge with this key.
  const reader = connect(spec, spec.as ?? spec.keys.requester);
  for (const task of spec.tasks) {
    if (spec.as) {
      const refused = await reader.task.fetchLogs(task).then(() => undefined, (error) => error.message);
      say({ task, refused, ...(await askByHand(spec, task)) });
      continue;
    }
    const info = await reader.task.fetchOffchainInfo(task);
    const logs = spec.logs ? await reader.task.fetchLogs(task) : undefined;
    say({ task, info, logs });
  }
});
