// Puts a contract of the PoCo package onto the chain, as the requester, and prints { address }.
//
//   node e2e/sdk/deploy.mjs '{"devnet":"target/devnet","contract":"tools/testing/TestClient"}'

import { readFile } from 'node:fs/promises';

import { ContractFactory } from 'ethers';
import { utils } from 'iexec8';

import { run, say } from './spec.mjs';

await run(async (spec) => {
  const name = spec.contract.split('/').at(-1);
  const file = new URL(`../../node_modules/@iexec/poco/artifacts/contracts/${spec.contract}.sol/${name}.json`, import.meta.url);
  const { abi, bytecode } = JSON.parse(await readFile(file, 'utf8'));
  const deployed = await new ContractFactory(abi, bytecode, utils.getSignerFromPrivateKey(spec.rpc, spec.keys.requester)).deploy();
  await deployed.waitForDeployment();
  say({ address: await deployed.getAddress() });
});
