// Reads a task from the chain by plain JSON-RPC: the SDK's decoder fails on a task with two or more contributors (sdk-client.md §13).

const VIEW_TASK = '0xadccf0d5';
const RESULTS_MEMBER = 12;

const call = async (rpc, to, data) => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_call', params: [{ to, data }, 'latest'] });
  const response = await fetch(rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { result, error } = await response.json();
  if (error) throw new Error(`the chain node refused to read the task: ${error.message}`);
  return Buffer.from(result.slice(2), 'hex');
};

// Where the result of a task is, as its finalization wrote it: for example /ipfs/<cid>.
export const locationOnChain = async ({ rpc, hub }, task) => {
  const answer = await call(rpc, hub, VIEW_TASK + task.slice(2));
  const word = (at) => Number(BigInt(`0x${answer.subarray(at, at + 32).toString('hex')}`));
  const tuple = word(0);
  const results = tuple + word(tuple + 32 * RESULTS_MEMBER);
  const text = answer.subarray(results + 32, results + 32 + word(results)).toString('utf8');
  if (text === '') throw new Error(`task ${task} has no result on the chain yet`);
  const { storage, location } = JSON.parse(text);
  if (storage !== 'ipfs') throw new Error(`the result of task ${task} is stored by ${storage}, which cannot be downloaded here`);
  return location;
};
