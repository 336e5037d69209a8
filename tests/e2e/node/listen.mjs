// A subscriber for the checks in other languages: prints each message as a line.
//
//     node listen.mjs ADDRESS SECRET CHANNEL...

import { Subscriber } from "./bifrost.mjs";

const [address, secret, ...channels] = process.argv.slice(2);
const subscriber = await Subscriber.open({ address });
await subscriber.subscribe({ secret }, ...channels);
console.log("subscribed");
for await (const [data] of subscriber.messages) console.log(data.toString());
