// Starts the program for a test, and says why a test is left out where something is missing (exit code 77).
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { connect, createServer } from "node:net";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

export function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

export async function load(name) {
  try {
    return await import(name);
  } catch (error) {
    skip(`the npm package ${name} is not installed (${error.code ?? error.message}); run npm ci --ignore-scripts in tests/server`);
  }
}

export function chromium() {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => path && existsSync(path));
  return found ?? skip("there is no chromium; install Debian's package of that name");
}

export const program = process.env.SMOLLM3_PROGRAM ?? skip("SMOLLM3_PROGRAM does not name the program");
export const sanitized = !["", "0", "OFF"].includes(process.env.SMOLLM3_SANITIZED ?? "");
export const hangs_after = 120_000;  // milliseconds: nothing that is waited for takes as long, on a busy machine either
export const folder = mkdtempSync(join(tmpdir(), "smollm3-server-test-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

// A model that never says anything sensible, but a lot and for as long as it is let: no token ends its answers or begins
// something else in them, and with a context of `endless` they outlast any test.
export const endless = ["--ctx", "65536"];
// With this context, and memory for one of it, a text of `half_of_crowded` has more than half of all memory, so that a
// second one has to wait; an answer to it is long, and not endless.
export const crowded = ["--ctx", "16384", "--kv-memory", sanitized ? "32MiB" : "64MiB"];
export const half_of_crowded = "word ".repeat(1800);
export function random_model() {
  const file = join(folder, "random.gguf");
  if (!existsSync(file)) {
    const shape = sanitized ? "micro" : "tiny";  // as fast as the other is without sanitizers
    const made = spawnSync(program, ["synth", "--shape", shape, "--out", file], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(`synth: ${made.stderr}`);
    const data = readFileSync(file);
    for (const name of ["<|im_end|>", "<|end_of_text|>", "tokenizer.ggml.eos_token_id", "<think>", "</think>", "<tool_call>"]) {
      const at = data.indexOf(name);
      if (at < 0) throw new Error(`synth: no ${name}`);
      data.write("xxx", at + 2);
    }
    writeFileSync(file, data);
  }
  return file;
}

const running = new Set();
after(() => { for (const server of running) server.child.kill("SIGKILL"); });  // what a test that failed has left

export class Server {
  // `model` is a file, or null for the demo model that is built in.
  // The model writes no titles: it would, as soon as it has nothing else to do, which tests would stumble over.
  // `data` is a folder of conversations, as another server has left it.
  static async start(model, { args = [], port = 0, data = mkdtempSync(join(folder, "data-")), serve = [] } = {}) {
    const server = new Server();
    server.data = data;
    const which = model === null ? [] : ["--model", model];
    server.log = "";
    server.child = spawn(program, [...which, ...args, "serve", "--port", String(port), "--data", data, "--no-titles", ...serve], {
      env: { ...process.env, XDG_DATA_HOME: folder, SMOLLM3_MODEL: "", HOME: folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
    server.exited = new Promise((resolve) => server.child.once("exit", (code, signal) => resolve({ code, signal })));
    running.add(server);
    server.exited.then(() => running.delete(server));
    server.url = await new Promise((resolve, reject) => {
      const hear = (data) => {
        server.log += data;
        const url = server.log.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (url) resolve(url[0]);
      };
      server.child.stdout.on("data", hear);
      server.child.stderr.on("data", hear);
      server.child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${server.log}`)));
    });
    return server;
  }

  async health() {
    return (await fetch(`${this.url}/health`)).json();
  }

  // Until the engine has nothing to do.
  async until_idle() {
    const began = Date.now();
    while (true) {
      const health = await this.health();
      if (health.running === 0 && health.waiting === 0) return Date.now() - began;
      if (Date.now() - began > hangs_after) throw new Error(`still busy: ${JSON.stringify(health)}`);
      await sleep(50);
    }
  }

  async until_running() {
    const began = Date.now();
    while ((await this.health()).running === 0) {
      if (Date.now() - began > hangs_after) throw new Error("the engine did not start");
      await sleep(20);
    }
  }

  async until_waiting(count) {
    for (const began = Date.now(); (await this.health()).waiting !== count; await sleep(20)) {
      assert.ok(Date.now() - began < hangs_after, `not ${count} waiting`);
    }
  }

  processor_seconds() {
    const [user, system] = readFileSync(`/proc/${this.child.pid}/stat`, "utf8").replace(/.*\) /, "").split(" ").slice(11, 13).map(Number);
    return (user + system) / 100;
  }

  // At its end a sanitizer tells what leaked and what raced.
  async stop() {
    this.child.kill("SIGTERM");
    assert.deepEqual(await this.exited, { code: 0, signal: null }, this.log);
  }
}

// As the command does it, also for a server that runs.
export function user(action, name, password, data) {
  const done = spawnSync(program, ["user", action, name, "--data", data], { input: `${password}\n`, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

// A way to the server that breaks when it is told to.
export class Wire {
  static async to(server) {
    const wire = new Wire();
    wire.sockets = new Set();
    wire.open = true;
    const { hostname, port } = new URL(server.url);
    wire.listener = createServer((near) => {
      if (!wire.open) return near.destroy();
      const far = connect(Number(port), hostname);
      for (const [one, other] of [[near, far], [far, near]]) {
        wire.sockets.add(one);
        one.pipe(other);
        one.on("error", () => other.destroy());
        one.on("close", () => { wire.sockets.delete(one); other.destroy(); });
      }
    });
    await new Promise((resolve) => wire.listener.listen(0, "127.0.0.1", resolve));
    wire.url = `http://127.0.0.1:${wire.listener.address().port}`;
    return wire;
  }

  // Every connection breaks, in the middle of whatever it carries.
  drop() {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  close() {
    this.drop();
    this.listener.close();
  }
}

export function has_demo_model() {
  const tried = spawnSync(program, ["run", "--temp", "0", "--max-tokens", "1", "Hi"], {
    env: { ...process.env, XDG_DATA_HOME: folder, SMOLLM3_MODEL: "", HOME: folder }, encoding: "utf8",
  });
  return tried.status === 0;
}
