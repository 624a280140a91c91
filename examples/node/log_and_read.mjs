// Logs one event and asks for the history of its key: what docs/protocol.md describes, in a language that has no
// Runlore library. Run `runlore up`, then:
//
//   cd examples/node && npm install --no-package-lock && node log_and_read.mjs ../../.runlore/server.json

import { Buffer } from "node:buffer";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { decode, encode, ExtensionCodec } from "@msgpack/msgpack";
import { connect } from "nats";

const PROJECT = "default";
const MODEL = { kind: "model", name: "churn", version: "3" };
const PRODUCER = `node-${randomUUID()}`; // one ID for each process, which numbers its events from 1 without gaps

const DATETIME = 5;
const extensions = new ExtensionCodec();
extensions.register({
  type: DATETIME,
  encode: (value) => (value instanceof Date ? new TextEncoder().encode(value.toISOString()) : null),
  decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
});

/** Sends one event and returns its position once the stream has stored it. */
async function log(connection, number, metadata) {
  const id = randomUUID();
  const event = {
    id,
    schema: 1,
    project: PROJECT,
    occurred_at: new Date().toISOString(),
    actor: { user: process.env.USER ?? "node", host: "localhost", pid: process.pid, library: "log_and_read 1.0" },
    producer_id: PRODUCER,
    producer_seq: number,
    fact: { type: "metadata_logged", targets: [MODEL], metadata },
    salt: randomBytes(16), // so that nobody can guess the values from the event's hash
  };
  const subject = `runlore.${PROJECT}.${MODEL.kind}.${MODEL.name}.${MODEL.version}`;
  const ack = await connection.jetstream().publish(subject, encode(event), {
    msgID: id, // sent again after a lost acknowledgement, it is stored once
    expect: { streamName: "RUNLORE" },
  });
  return ack.seq;
}

/** Asks a query service one question and returns its answer as it travels: see `read`. */
async function ask(connection, method, kwargs, { entity = null, atLeast = 0 } = {}) {
  const LATEST = 2n ** 63n - 1n; // the position of the latest event, whichever it is
  const SECONDS = 10;
  const call = [PROJECT, method, entity, [], kwargs, LATEST, null, "recorded", atLeast, SECONDS];
  const question = encode(call, { useBigInt64: true });
  const late = Date.now() + SECONDS * 1000;
  let answer = null;
  while ((answer = await send(connection, `runlore-query.v1.${PROJECT}.${method}`, question)) === null) {
    if (Date.now() > late) throw new Error("no query service answers");
    await new Promise((resolve) => setTimeout(resolve, 100)); // it may be about to start
  }
  const [, , , failed, node] = decode(answer, { extensionCodec: extensions });
  if (failed) throw new Error(`${node[0]}: ${node[1].map(read).join(" ")}`);
  return node;
}

/** Sends a question and returns the bytes of its reply; null where nobody listens, or the service ends meanwhile. */
async function send(connection, subject, question) {
  const SILENCE = 2000; // a service that works on for longer says so
  const inbox = `${connection.options.inboxPrefix}.${randomUUID()}`;
  const messages = connection.subscribe(inbox);
  connection.publish(subject, question, { reply: inbox });
  const parts = [];
  const timer = setTimeout(() => messages.unsubscribe(), SILENCE);
  try {
    for await (const message of messages) {
      timer.refresh();
      if (message.headers?.code === 503) return null;
      if (message.headers?.has("Runlore-Working")) continue;
      // A large answer comes in parts, which may overtake each other.
      const [part, count] = (message.headers?.get("Runlore-Parts") || "0/1").split("/").map(Number);
      parts[part] = message.data;
      if (parts.filter(Boolean).length === count) return Buffer.concat(parts);
    }
    return null;
  } finally {
    clearTimeout(timer);
    messages.unsubscribe();
  }
}

/** The value of a node, of those kinds that this program asks for. */
function read(node) {
  if (!Array.isArray(node)) return node;
  const [tag, ...parts] = node;
  switch (tag) {
    case "value":
      return decode(parts[0], { extensionCodec: extensions });
    case "History":
      return parts[1].map(read);
    case "Entry": {
      const [value, type, key, path, position, created] = parts.map(read);
      return { value, type, key, path, position, created };
    }
    default:
      return node; // an Actor, for instance
  }
}

const server = JSON.parse(readFileSync(process.argv[2], "utf8"));
const connection = await connect({
  servers: server.url,
  user: server.user,
  pass: server.password,
  inboxPrefix: `_INBOX_${server.user}`, // each user reads its own answers only
});
await log(connection, 1, { accuracy: 0.91, tags: ["node"] });
const position = await log(connection, 2, { accuracy: 0.94 });

// `atLeast` is the position of what was just logged: the answer knows it.
const model = await ask(connection, "get", { reference: "model:churn@3" }, { atLeast: position });
const history = read(await ask(connection, "history", { key: "accuracy" }, { entity: model, atLeast: position }));
for (const entry of history) console.log(`@${entry.position} ${entry.key} = ${entry.value} (${entry.type})`);
await connection.close();
