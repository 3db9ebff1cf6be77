// Orders as the SDK makes, signs, hashes and matches them; one line of JSON per fact.
//
//   node e2e/sdk/orders.mjs '{"devnet":"target/devnet","make":true}'
//   node e2e/sdk/orders.mjs '{"devnet":"target/devnet","match":{"apporder":{…},"datasetorder":{…},"workerpoolorder":{…},"requestorder":{…}}}'
//   node e2e/sdk/orders.mjs '{"devnet":"target/devnet","cancel":{"apporder":{…}}}'
//
// "make" prints { kind, order, hash } for an order of each kind; "match" the hashes of the orders it was given, { kind, hash }, and then the deal
// { dealid, volume } that came of them, without any check of its own; "cancel" the transaction that closed an order, { kind, txHash }.

import { connect } from './buyer.mjs';
import { run, say } from './spec.mjs';

const KINDS = ['apporder', 'datasetorder', 'workerpoolorder', 'requestorder'];
const OWNERS = { apporder: 'appOwner', datasetorder: 'datasetOwner', workerpoolorder: 'poolOwner', requestorder: 'requester' };

const word = (kind) => kind[0].toUpperCase() + kind.slice(1);

const datasetOf = async (owner) => {
  const checksum = `0x${'11'.repeat(32)}`;
  const dataset = { owner: await owner.wallet.getAddress(), name: 'made by the SDK', multiaddr: 'https://example.org/data.bin', checksum };
  return (await owner.dataset.deployDataset(dataset)).address;
};

const make = async (spec, of) => {
  const dataset = await datasetOf(of('datasetorder'));
  const { app, workerpool } = spec;
  const templates = {
    apporder: { app, appprice: '1 RLC', volume: 7 },
    datasetorder: { dataset, datasetprice: '3', volume: 1000000, apprestrict: app },
    workerpoolorder: { workerpool, workerpoolprice: '2 RLC', volume: 5, category: 2, trust: 4 },
    requestorder: {
      app, dataset, workerpool, category: 2, appmaxprice: '1 RLC', datasetmaxprice: '3', workerpoolmaxprice: '2 RLC', volume: 2, trust: 3,
      params: { iexec_args: 'Grüße "quoted" 0x12' },
    },
  };
  for (const kind of KINDS) {
    const { order } = of(kind);
    const made = await order[`create${word(kind)}`](templates[kind]);
    const signed = await order[`sign${word(kind)}`](made, { preflightCheck: false });
    say({ kind, order: signed, hash: await order[`hash${word(kind)}`](signed) });
  }
};

const match = async (orders, of) => {
  for (const kind of KINDS) {
    if (orders[kind]) say({ kind, hash: await of(kind).order[`hash${word(kind)}`](orders[kind]) });
  }
  const { dealid, volume } = await of('requestorder').order.matchOrders(orders, { preflightCheck: false });
  say({ dealid, volume });
};

const cancel = async (orders, of) => {
  for (const [kind, order] of Object.entries(orders)) {
    const { txHash } = await of(kind).order[`cancel${word(kind)}`](order);
    say({ kind, txHash });
  }
};

await run(async (spec) => {
  const of = (kind) => connect(spec, spec.keys[OWNERS[kind]]);
  if (spec.make) await make(spec, of);
  if (spec.match) await match(spec.match, of);
  if (spec.cancel) await cancel(spec.cancel, of);
});
