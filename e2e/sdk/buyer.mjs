// A buyer on the unmodified SDK 8.24, the version that can make standard deals. No marketplace: the owners' orders are signed here with their keys
// (sdk-client.md §15, 3).

import { IExec, utils } from 'iexec8';

// The SDK as one account sees it. Without a key it can only read.
// A native chain has its stakes in its own coin, and gas for nothing.
export const connect = ({ rpc, hub, native = false, gateway, compass }, key) =>
  new IExec(
    { ethProvider: key ? utils.getSignerFromPrivateKey(rpc, key) : rpc },
    { hubAddress: hub, isNative: native, useGas: !native, ipfsGatewayURL: gateway, compassURL: compass },
  );

const appOf = async (spec, owner) => {
  if (typeof spec.app === 'string') return spec.app;
  const { name, image, checksum = `0x${'00'.repeat(32)}` } = spec.app;
  const { address } = await owner.app.deployApp({ owner: await owner.wallet.getAddress(), name, type: 'DOCKER', multiaddr: image, checksum });
  return address;
};

const poolOf = async (spec, owner) => {
  if (typeof spec.workerpool === 'string') return spec.workerpool;
  const { description } = spec.workerpool;
  const { address } = await owner.workerpool.deployWorkerpool({ owner: await owner.wallet.getAddress(), description });
  return address;
};

// A dataset that the deal names: { name, uri, checksum }, registered first, and offered for nothing.
const datasetOf = async (spec, deal) => {
  if (!deal.dataset) return {};
  const owner = connect(spec, spec.keys.datasetOwner);
  const { name, uri, checksum } = deal.dataset;
  const { address } = await owner.dataset.deployDataset({ owner: await owner.wallet.getAddress(), name, multiaddr: uri, checksum });
  const order = await owner.order.createDatasetorder({ dataset: address, volume: deal.volume ?? 1 });
  return { dataset: address, datasetorder: await owner.order.signDatasetorder(order, { preflightCheck: false }) };
};

const wanted = (spec) => spec.deals.flatMap(({ repeat = 1, ...deal }) => Array.from({ length: repeat }, () => deal));

// Pays in what the deals cost and the requester has not staked yet.
const cover = async (spec, requester, volume) => {
  const price = utils.parseRLC(spec.appPrice ?? '0').add(utils.parseRLC(spec.poolPrice ?? '0')).muln(volume);
  const { stake } = await requester.account.checkBalance(await requester.wallet.getAddress());
  const missing = spec.deposit ? utils.parseRLC(spec.deposit) : price.sub(stake);
  if (missing.gtn(0)) await requester.account.deposit(missing.toString());
};

// Buys every deal of `spec.deals` and calls `sold` with each as soon as it is on the chain.
// A deal: { volume, trust, category, args, params, rawParams, dataset, tag, beneficiary, callback, repeat }.
export const buy = async (spec, sold) => {
  const appOwner = connect(spec, spec.keys.appOwner);
  const poolOwner = connect(spec, spec.keys.poolOwner);
  const requester = connect(spec, spec.keys.requester);
  const [app, workerpool] = [await appOf(spec, appOwner), await poolOf(spec, poolOwner)];

  const deals = wanted(spec);
  const volume = deals.reduce((sum, deal) => sum + (deal.volume ?? 1), 0);
  await cover(spec, requester, volume);

  const appprice = spec.appPrice ?? '0';
  const workerpoolprice = spec.poolPrice ?? '0';
  // With a tag the SDK would ask an SMS, and the application for its enclave.
  const checks = { preflightCheck: spec.appTag === undefined };
  const apporder = await appOwner.order.signApporder(await appOwner.order.createApporder({ app, appprice, volume, tag: spec.appTag }), checks);
  // The pool's trust is a ceiling, its tag an offer: one order per category sells every deal of it.
  const poolOrders = new Map();
  const poolOrder = async (category) => {
    if (!poolOrders.has(category)) {
      const trust = Math.max(...deals.map((deal) => deal.trust ?? 1));
      const order = await poolOwner.order.createWorkerpoolorder({ workerpool, workerpoolprice, volume, category, trust, tag: spec.poolTag });
      poolOrders.set(category, await poolOwner.order.signWorkerpoolorder(order));
    }
    return poolOrders.get(category);
  };

  for (const deal of deals) {
    const category = deal.category ?? spec.category ?? 0;
    const { dataset, datasetorder } = await datasetOf(spec, deal);
    const request = await requester.order.createRequestorder({
      app,
      dataset,
      workerpool,
      category,
      appmaxprice: appprice,
      workerpoolmaxprice: workerpoolprice,
      volume: deal.volume ?? 1,
      trust: deal.trust ?? 1,
      tag: deal.tag,
      beneficiary: deal.beneficiary,
      callback: deal.callback,
      params: deal.params ?? { iexec_args: deal.args ?? '' },
    });
    // Parameters as they stand, whatever they are: the SDK would refuse most that is wrong.
    if (deal.rawParams !== undefined) request.params = deal.rawParams;
    const requestorder = await requester.order.signRequestorder(request, { preflightCheck: false });
    const workerpoolorder = await poolOrder(category);
    const match = await requester.order.matchOrders({ apporder, datasetorder, workerpoolorder, requestorder }, { preflightCheck: false });
    const { botFirst, params, trust } = await requester.deal.show(match.dealid);
    const first = Number(botFirst.toString());
    const count = Number(match.volume.toString());
    const indexes = Array.from({ length: count }, (_, offset) => first + offset);
    const tasks = await Promise.all(indexes.map((index) => requester.deal.computeTaskId(match.dealid, index)));
    sold({ dealid: match.dealid, volume: count, first, trust: Number(trust.toString()), txHash: match.txHash, app, dataset, workerpool, params, tasks });
  }
};
