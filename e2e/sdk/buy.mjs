// Buys deals with the unmodified SDK and prints one line of JSON per deal: dealid, volume, txHash, tasks, …
//
//   node e2e/sdk/buy.mjs '{"devnet":"target/devnet","appPrice":"1 RLC","poolPrice":"2 RLC","deals":[{"volume":3,"trust":1,"args":"hello world"}]}'
//
// Without "devnet": rpc, hub, native (true where stakes are the chain's own coin), keys {requester, appOwner, poolOwner}, app (address, or
// {name, image} to register), workerpool (address, or {description}).

import { buy } from './buyer.mjs';
import { run, say } from './spec.mjs';

await run((spec) => buy(spec, say));
