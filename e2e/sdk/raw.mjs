// Buys deals that the SDK does not let a requester make: parameters of any text, and a requester of zeros. The owners' orders are the SDK's; the
// request is signed and matched here, for nothing. Prints one line of JSON per deal: { dealid, volume, first, trust, txHash, tasks }.
//
//   node e2e/sdk/raw.mjs '{"devnet":"target/devnet","deals":[{"params":"not JSON","category":5},{"params":"{}","nobody":true}]}'

import { readFile } from 'node:fs/promises';

import { Contract, JsonRpcProvider, Wallet, ZeroAddress, ZeroHash, hexlify, randomBytes, solidityPackedKeccak256 } from 'ethers';

import { connect } from './buyer.mjs';
import { run, say } from './spec.mjs';

const ORDER = {
  RequestOrder: Object.entries({
    app: 'address', appmaxprice: 'uint256', dataset: 'address', datasetmaxprice: 'uint256', workerpool: 'address', workerpoolmaxprice: 'uint256',
    requester: 'address', volume: 'uint256', tag: 'bytes32', category: 'uint256', trust: 'uint256', beneficiary: 'address', callback: 'address',
    params: 'string', salt: 'bytes32',
  }).map(([name, type]) => ({ name, type })),
};

const NO_DATASET = [ZeroAddress, 0, 0, ZeroHash, ZeroAddress, ZeroAddress, ZeroAddress, ZeroHash, '0x'];

const facet = new URL('../../node_modules/@iexec/poco/abis/human-readable-abis/contracts/facets/IexecPoco1Facet.sol/IexecPoco1Facet.json', import.meta.url);

// A signature of the right length that is none: the recovered signer is the address of zeros.
const NOBODYS = `0x${'00'.repeat(65)}`;

await run(async (spec) => {
  const { app, workerpool, hub, deals } = spec;
  // Without its short memory of answers, in which the count of transactions would be an old one.
  const signer = new Wallet(spec.keys.requester, new JsonRpcProvider(spec.rpc, undefined, { cacheTimeout: -1 }));
  const requester = await signer.getAddress();
  const { chainId } = await signer.provider.getNetwork();
  const domain = { name: 'iExecODB', version: '5.0.0', chainId, verifyingContract: hub };
  const contract = new Contract(hub, JSON.parse(await readFile(facet, 'utf8')), signer);
  const [appOwner, poolOwner] = [connect(spec, spec.keys.appOwner), connect(spec, spec.keys.poolOwner)];
  const volume = deals.length;
  const a = await appOwner.order.signApporder(await appOwner.order.createApporder({ app, volume }));
  const apporder = [a.app, a.appprice, a.volume, a.tag, a.datasetrestrict, a.workerpoolrestrict, a.requesterrestrict, a.salt, a.sign];

  for (const { params: short, letters, category = 0, nobody = false, gas } of deals) {
    const w = await poolOwner.order.signWorkerpoolorder(await poolOwner.order.createWorkerpoolorder({ workerpool, volume: 1, category, trust: 1 }));
    const poolorder = [w.workerpool, w.workerpoolprice, w.volume, w.tag, w.category, w.trust, w.apprestrict, w.datasetrestrict, w.requesterrestrict, w.salt, w.sign];
    // Longer ones than a command line takes are made here.
    const params = letters ? JSON.stringify({ iexec_args: 'x'.repeat(letters), iexec_result_storage_provider: 'ipfs' }) : short;
    const request = {
      app, appmaxprice: 0, dataset: ZeroAddress, datasetmaxprice: 0, workerpool, workerpoolmaxprice: 0, requester: nobody ? ZeroAddress : requester,
      volume: 1, tag: ZeroHash, category, trust: 1, beneficiary: requester, callback: ZeroAddress, params, salt: hexlify(randomBytes(32)),
    };
    const sign = nobody ? NOBODYS : await signer.signTypedData(domain, ORDER, request);
    const order = [...ORDER.RequestOrder.map(({ name }) => request[name]), sign];
    // A deal without a requester is one that somebody else pays.
    const match = nobody ? contract.sponsorMatchOrders : contract.matchOrders;
    const args = [apporder, NO_DATASET, poolorder, order];
    // An estimate tries many times, which takes long where the parameters are.
    const limit = gas ? { gasLimit: gas } : {};
    const dealid = await match.staticCall(...args, limit);
    const { hash } = await (await match(...args, limit)).wait();
    say({ dealid, volume: 1, first: 0, trust: 1, txHash: hash, tasks: [solidityPackedKeccak256(['bytes32', 'uint256'], [dealid, 0])] });
  }
  signer.provider.destroy();
});
