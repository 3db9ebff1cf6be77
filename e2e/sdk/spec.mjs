// What every script here is told: one JSON object, given as the first argument (text, or the name of a file) or on standard input.
// With "devnet": "<folder>" what a script needs about chain, keys, app and pool is read from the files of `workerpool devnet`.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const readJson = async (path) => JSON.parse(await readFile(path, 'utf8'));

const standardInput = async () => {
  const parts = [];
  for await (const part of process.stdin) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
};

const given = async (argument) => {
  if (argument === undefined || argument === '-') return JSON.parse(await standardInput());
  return argument.trimStart().startsWith('{') ? JSON.parse(argument) : readJson(argument);
};

const fromDevnet = async (folder) => {
  const facts = await readJson(join(folder, 'devnet.json'));
  const chain = (await readJson(join(folder, 'chain.json'))).chains.devnet;
  const key = async (role) => (await readJson(facts.accounts[role].key)).privateKey;
  return {
    rpc: facts.rpcUrl,
    hub: facts.hub,
    native: facts.native,
    app: facts.app,
    workerpool: facts.workerpool,
    gateway: chain.ipfsGateway,
    compass: chain.compass,
    keys: { requester: await key('requester'), appOwner: await key('app-provider'), datasetOwner: await key('dataset-provider'), poolOwner: await key('scheduler') },
  };
};

export const readSpec = async (argument) => {
  const spec = await given(argument);
  const known = spec.devnet ? await fromDevnet(spec.devnet) : {};
  return { ...known, ...spec, keys: { ...known.keys, ...spec.keys } };
};

// One line of JSON per fact; big numbers as text.
export const say = (fact) => {
  const text = JSON.stringify(fact, (_, value) => (value?._isBigNumber || value?.constructor?.name === 'BN' || typeof value === 'bigint' ? value.toString() : value));
  process.stdout.write(`${text}\n`);
};

// Runs a script; a failure is one line of JSON on standard error and exit status 1.
export const run = async (script) => {
  try {
    await script(await readSpec(process.argv[2]));
  } catch (error) {
    const { name, message } = error;
    const cause = error.cause?.message ?? error.originalError?.message;
    process.stderr.write(`${JSON.stringify({ error: { name, message, cause } })}\n`);
    process.exitCode = 1;
  }
};
