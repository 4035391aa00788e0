// The API as the openai package and a hostile client see it.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { crowded, endless, half_of_crowded, hangs_after, load, random_model, sanitized, Server } from "./harness.mjs";

const { default: OpenAI } = await load("openai");

let server, client;
before(async () => {
  server = await Server.start(random_model(), { args: endless });
  client = new OpenAI({ apiKey: "none", baseURL: `${server.url}/v1`, maxRetries: 0 });
});

const messages = [{ role: "user", content: "Say something." }];
const ask = (fields, options) => client.chat.completions.create({ model: "any", messages, max_tokens: 24, ...fields }, options);
const post = (body, headers = {}) =>
  fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers });

// Sends bytes as they are and returns all that comes back until the connection ends.
function raw(text) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    let answer = "";
    socket.setTimeout(hangs_after, () => socket.destroy());
    socket.on("data", (data) => { answer += data; });
    socket.on("close", () => resolve(answer));
    socket.on("error", (error) => (answer ? resolve(answer) : reject(error)));
    socket.write(text);
  });
}

test("health names what runs", async () => {
  const health = await server.health();
  assert.equal(health.status, "ok");
  for (const field of ["model", "context", "kv_positions", "paused", "wait_seconds", "mode", "device", "threads", "running", "waiting", "version"]) assert.ok(field in health, field);
  assert.ok(["exact", "fast"].includes(health.mode));
  assert.equal(health.context, 65536);
});

test("models are listed", async () => {
  const list = await client.models.list();
  assert.equal(list.data.length, 1);
  assert.equal(list.data[0].object, "model");
  const one = await client.models.retrieve(list.data[0].id);
  assert.equal(one.id, list.data[0].id);
  await assert.rejects(client.models.retrieve("gpt-9"), { status: 404, code: "model_not_found" });
});

test("an answer under way is paused and resumed by its id, and says the same", async () => {
  const expected = (await ask({ seed: 7, max_tokens: 300 })).choices[0].message.content;
  const stream = await ask({ seed: 7, max_tokens: 300, stream: true });
  let text = "", paused = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    if (paused++ !== 5) continue;
    const control = (action) => fetch(`${server.url}/v1/chat/completions/${chunk.id}/${action}`, { method: "POST" });
    const answer = await control("pause");
    if (answer.status === 404) continue;  // it was faster
    assert.equal(answer.status, 202);
    await sleep(200);
    assert.equal((await control("resume")).status, 202);
  }
  assert.ok(paused > 5);
  assert.equal(text, expected);
});

test("a whole answer", async () => {
  const answer = await ask({ seed: 5 });
  assert.equal(answer.object, "chat.completion");
  assert.match(answer.id, /^chatcmpl-/);
  const [choice] = answer.choices;
  assert.equal(choice.message.role, "assistant");
  assert.equal(choice.finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, 24);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 24);
  assert.ok(answer.usage.prompt_tokens_details.cached_tokens >= 0);
  assert.ok(["exact", "fast"].includes(answer.timings.mode));
});

test("the same seed gives the same answer, streamed or not", async () => {
  const whole = async (fields) => {
    const { message } = (await ask(fields)).choices[0];
    return (message.reasoning_content ?? "") + "|" + message.content;
  };
  const first = await whole({ seed: 7 });
  assert.equal(await whole({ seed: 7 }), first);
  assert.notEqual(await whole({ seed: 8 }), first);
  assert.equal(await whole({ temperature: 0, seed: 1 }), await whole({ temperature: 0, seed: 2 }));

  let thinking = "", text = "";
  for await (const chunk of await ask({ seed: 7, stream: true })) {
    thinking += chunk.choices[0]?.delta?.reasoning_content ?? "";
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(thinking + "|" + text, first);
});

test("a stream comes in pieces and ends properly", async () => {
  const chunks = [];
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true }, max_tokens: 40 })) chunks.push(chunk);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const finishes = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).filter(Boolean);
  assert.deepEqual(finishes, ["length"]);
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 40);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  // How many words share a piece depends on the machine's speed: of an endless answer six come at any.
  let pieces = 0;
  for await (const chunk of await ask({ stream: true, max_tokens: 60000 })) {
    assert.equal(chunk.choices[0]?.finish_reason ?? null, null);
    if (++pieces === 6) break;
  }
  assert.equal(pieces, 6);
  await server.until_idle();
  const text = await (await post({ messages, max_tokens: 2, stream: true })).text();
  assert.ok(text.endsWith("data: [DONE]\n\n"));
});

test("content may come in parts", async () => {
  const answer = await ask({ messages: [{ role: "user", content: [{ type: "text", text: "Say " }, { type: "text", text: "something." }] }], seed: 3, temperature: 0 });
  assert.equal(answer.choices[0].message.content, (await ask({ seed: 3, temperature: 0 })).choices[0].message.content);
});

test("a stop text ends the answer and is not part of it", async () => {
  const free = (await ask({ temperature: 0, max_tokens: 40 })).choices[0].message;
  const text = free.content;
  const stop = text.slice(Math.floor(text.length / 2), Math.floor(text.length / 2) + 3);
  const cut = (await ask({ temperature: 0, max_tokens: 40, stop })).choices[0];
  assert.equal(cut.finish_reason, "stop");
  assert.equal(cut.message.content, text.slice(0, text.indexOf(stop)));
});

test("a long conversation's beginning is not computed twice", async () => {
  const long = [{ role: "user", content: "word ".repeat(200) }];
  await ask({ messages: long, max_tokens: 1 });
  const again = await ask({ messages: [...long, { role: "assistant", content: "Yes." }, { role: "user", content: "More?" }], max_tokens: 1 });
  assert.ok(again.usage.prompt_tokens_details.cached_tokens > 100, JSON.stringify(again.usage));
});

test("wrong requests are refused, naming the field", async () => {
  for (const [fields, param] of [
    [{ temperature: "hot" }, "temperature"], [{ n: 2 }, "n"], [{ max_tokens: -1 }, "max_tokens"], [{ stop: 5 }, "stop"],
    [{ messages: [] }, "messages"], [{ messages: [{ role: "user" }, 5] }, "messages[1]"],
  ]) {
    await assert.rejects(ask(fields), (error) => error.status === 400 && error.param === param && error.type === "invalid_request_error", param);
  }
  await assert.rejects(ask({ messages: [{ role: "narrator", content: "x" }] }), { status: 400 });
  await assert.rejects(ask({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }), { status: 400 });
  assert.equal((await post("{")).status, 400);
  for (const stream of [false, true]) {
    const too_long = [{ role: "user", content: "word ".repeat(20000) }];
    await assert.rejects(ask({ messages: too_long, stream }), { status: 400, code: "context_length_exceeded", param: "messages" });
  }
});

test("what clients send without meaning much by it is taken", async () => {
  for (const fields of [{ top_p: 0 }, { stop: null }, { tools: [], temperature: 0 }, { max_tokens: undefined, max_completion_tokens: 3 }]) {
    assert.equal((await ask({ max_tokens: 3, ...fields })).usage.completion_tokens, 3, JSON.stringify(fields));
  }
});

test("a body in chunks, and one that waits to be asked for", async () => {
  const body = JSON.stringify({ messages, max_tokens: 1 });
  const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  const cut = 17;
  const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const chunked = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk(body.slice(0, cut))}${chunk(body.slice(cut))}0\r\n\r\n`);
  assert.match(chunked, /^HTTP\/1.1 200 /);
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  let answer = "";
  socket.on("data", (data) => {
    answer += data;
    if (answer === "HTTP/1.1 100 Continue\r\n\r\n") socket.write(body);
  });
  socket.write(`${head}Content-Length: ${body.length}\r\nExpect: 100-Continue\r\n\r\n`);
  await new Promise((resolve) => socket.on("close", resolve));
  assert.match(answer, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
});

test("wrong addresses and methods", async () => {
  assert.equal((await fetch(`${server.url}/c/${"0".repeat(32)}/stream/0`, { method: "HEAD" })).status, 405);
  const missing = await fetch(`${server.url}/v1/embeddings`, { method: "POST", body: "{}" });
  assert.equal(missing.status, 404);
  assert.equal((await missing.json()).error.type, "invalid_request_error");
  assert.equal((await fetch(`${server.url}/v1/chat/completions`)).status, 405);
  assert.equal((await fetch(`${server.url}/nothing`)).status, 404);
  assert.equal((await fetch(`${server.url}/health`, { method: "DELETE" })).status, 405);
  const head = await fetch(`${server.url}/`, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), "");
});

test("pages of other sites reach nothing", async () => {
  const body = { messages, max_tokens: 1 };
  for (const origin of ["https://evil.example", "null", "http://localhost:1"]) {
    const refused = await post(body, { Origin: origin });
    assert.equal(refused.status, 403, origin);
    assert.match((await refused.json()).error.message, /another site/);
    assert.equal(refused.headers.get("access-control-allow-origin"), null);
  }
  assert.equal((await post(body, { Origin: server.url })).status, 200);
  assert.equal((await post(body, { "Sec-Fetch-Site": "cross-site" })).status, 403);
  const rebound = await raw("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
  assert.match(rebound, /^HTTP\/1.1 403 /);
  assert.doesNotMatch(rebound, /composer/);
  const preflight = await fetch(`${server.url}/v1/chat/completions`, { method: "OPTIONS", headers: { Origin: "https://evil.example", "Access-Control-Request-Method": "POST" } });
  assert.equal(preflight.status, 403);
});

test("what is too large or malformed is refused", async () => {
  const large = await post("x".repeat(5 << 20));
  assert.equal(large.status, 413);
  assert.match((await large.json()).error.message, /larger than/);
  const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n";
  assert.match(await raw(`${head}Transfer-Encoding: gzip\r\n\r\nhello`), /^HTTP\/1.1 400 /);
  for (const body of [`{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":0`)}}`, `{"messages":[${"{},".repeat(400_000)}{}]}`]) {
    const before = server.processor_seconds();
    assert.equal((await post(body)).status, 400);
    assert.ok(server.processor_seconds() - before < (sanitized ? 100 : 5));
  }
  assert.match(await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(40000)}\r\n\r\n`), /^HTTP\/1.1 431 /);
  assert.match(await raw("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), /^HTTP\/1.1 403 /);
  assert.match(await raw("hello\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(await raw("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), /^HTTP\/1.1 400 /);
});

test("many large bodies at once are refused, and the room comes back", async () => {
  const { hostname, port } = new URL(server.url);
  const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n{";
  const open = [];
  const attach = () => new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.on("error", reject);
    socket.heard = "";
    socket.on("data", (data) => { socket.heard += data; });
    open.push(socket);
  });
  // 64 of 4 MB are let in at once, so one of these is refused, whichever head is read last.
  for (let i = 0; i < 65; i++) (await attach()).write(head);
  const told = () => open.filter((socket) => socket.heard !== "");
  while (told().length === 0) await sleep(10);
  assert.match(told()[0].heard, /^HTTP\/1.1 503 /);
  assert.equal((await post("{}")).status, 400, "small ones are still heard");
  assert.equal(told().length, 1);
  for (const socket of open) socket.destroy();
  const large = `{${" ".repeat((4 << 20) - 2)}}`;
  let status;
  while ((status = (await post(large)).status) === 503) await sleep(10);
  assert.equal(status, 400);
});

test("requests may follow each other in one connection, and in one packet", async () => {
  const get = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
  const answer = await raw(`${get}\r\n${get}Connection: close\r\n\r\n`);
  assert.equal(answer.match(/HTTP\/1.1 200 OK/g).length, 2);
  const body = JSON.stringify({ messages, max_tokens: 2 });
  const mixed = await raw(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}${get}Connection: close\r\n\r\n`);
  assert.equal(mixed.match(/HTTP\/1.1 200 OK/g).length, 2);
});

test("HTTP/1.0 gets its stream without chunks", async () => {
  const body = JSON.stringify({ messages, max_tokens: 2, stream: true });
  const answer = await raw(`POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  assert.doesNotMatch(answer, /chunked/i);
  assert.match(answer, /data: \[DONE\]\n\n$/);
});

test("a client that leaves frees its place, streamed or not, also while its prompt is read", async () => {
  for (const stream of [true, false]) {
    for (const content of ["Say something.", "word ".repeat(8000)]) {
      const leaving = new AbortController();
      const answer = ask({ stream, max_tokens: 60000, messages: [{ role: "user", content }] }, { signal: leaving.signal });
      answer.catch(() => {});
      await server.until_running();
      leaving.abort();
      const waited = await server.until_idle();
      console.log(`freed after ${waited} ms (${stream ? "streamed" : "whole"}, ${content.length} bytes)`);
      assert.ok(sanitized || waited < 2000, `${waited} ms`);
    }
  }
});

test("answers are written beside one another", async () => {
  const leaving = new AbortController();
  const first = await ask({ max_tokens: 60000, stream: true }, { signal: leaving.signal });
  const answers = await Promise.all([1, 2, 3, 4].map((seed) => ask({ seed })));
  for (const answer of answers) assert.equal(answer.usage.completion_tokens, 24);
  let pieces = 0;
  for await (const chunk of first) if (chunk && ++pieces === 3) break;
  leaving.abort();
  await server.until_idle();
  // And each says what it says alone.
  for (const [i, answer] of answers.entries()) {
    assert.equal((await ask({ seed: i + 1 })).choices[0].message.content, answer.choices[0].message.content);
  }
});

test("where memory is short, answers wait for each other in turn, and one that leaves the queue frees its place", async () => {
  const one = await Server.start(random_model(), { args: crowded });
  const its = new OpenAI({ apiKey: "none", baseURL: `${one.url}/v1`, maxRetries: 0 });
  const ask_it = (fields, options) =>
    its.chat.completions.create({ model: "any", messages: [{ role: "user", content: half_of_crowded }], max_tokens: 4, ...fields }, options);
  const leaving = new AbortController();
  const first = ask_it({ max_tokens: 60000, stream: true }, { signal: leaving.signal });
  first.catch(() => {});
  await one.until_running();
  const order = [];
  const second = ask_it().then(() => order.push("second"));
  await one.until_waiting(1);
  const gone = new AbortController();
  const third = ask_it({}, { signal: gone.signal });
  third.catch(() => {});
  await one.until_waiting(2);
  const fourth = ask_it().then(() => order.push("fourth"));
  await one.until_waiting(3);
  gone.abort();
  await one.until_waiting(2);
  leaving.abort();
  await Promise.all([second, fourth]);
  assert.deepEqual(order, ["second", "fourth"]);
  await one.stop();
});

test("many idle connections cost no threads and do not slow the others", async () => {
  const { hostname, port } = new URL(server.url);
  const sockets = [];
  for (let i = 0; i < 1000; ++i) {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    sockets.push(socket);
    if (i % 100 === 99) await sleep(20);
  }
  await sleep(300);
  const began = performance.now();
  assert.equal((await server.health()).status, "ok");
  console.log(`health answered in ${(performance.now() - began).toFixed(1)} ms beside 1000 idle connections`);
  for (const socket of sockets) socket.destroy();
});

test("a log that nobody reads holds nobody up", async () => {
  const deaf = await Server.start(random_model());
  deaf.child.stderr.pause();
  for (let asked = 0; asked < 4000; asked += 50) {  // 64 KB of lines fill a pipe
    const answers = await Promise.all(Array.from({ length: 50 }, () => deaf.health()));
    assert.equal(answers.length, 50);
  }
  deaf.child.kill("SIGTERM");
  assert.equal((await deaf.exited).code, 0);
});

test("SIGTERM ends it in order, answers under way included", async () => {
  const one = await Server.start(random_model(), { args: endless });
  const its = new OpenAI({ apiKey: "none", baseURL: `${one.url}/v1`, maxRetries: 0 });
  const stream = await its.chat.completions.create({ model: "any", messages, stream: true });
  const told = (async () => { for await (const chunk of stream) void chunk; })();
  told.catch(() => {});
  await one.until_running();
  const began = Date.now();
  await one.stop();
  const took = Date.now() - began;
  assert.ok(took < hangs_after);
  // A step that outlasts the server's grace of 3 s, as under the thread sanitizer, leaves no time for a last word.
  await assert.rejects(told, took < 3000 ? /shutting down/ : /shutting down|terminated/);
});

test("the server that all this was asked of ends in order", () => server.stop());
