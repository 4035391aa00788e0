// The web chat in Chromium, narrow and wide, light and dark.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  chromium as chromium_path, crowded, endless, half_of_crowded, has_demo_model, load, random_model, sanitized, Server, user, Wire,
} from "./harness.mjs";

const { chromium } = await load("playwright-core");
const executable = chromium_path();
const pictures = process.env.SMOLLM3_PICTURES;  // a folder for screenshots, if wanted
if (pictures) mkdirSync(pictures, { recursive: true });
const demo = has_demo_model();
if (!demo) console.log("no demo model is built in: what needs answers that make sense is left out");

const sizes = { narrow: { width: 390, height: 844 }, wide: { width: 1440, height: 900 } };
let talker, babbler, browser;

before(async () => {
  babbler = await Server.start(random_model(), { args: endless });
  if (demo) talker = await Server.start(null);
  browser = await chromium.launch({
    executablePath: executable, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(() => browser?.close());

// A page whose every complaint counts.
async function open(size, { scheme = "light", path = "/", server = babbler } = {}) {
  const context = await browser.newContext({ viewport: sizes[size], colorScheme: scheme, permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);  // the machine may have much else to do
  page.complaints = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) page.complaints.push(message.text()); });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(server.url)) page.complaints.push(`request to ${request.url()}`); });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
  });
  await page.goto(server.url + path);
  return page;
}

async function close(page) {
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

const picture = (page, name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });
const send = async (page, text) => {
  await page.fill("#text", text);
  await page.keyboard.press("Enter");
};
const over = (page, n = 2) => page.waitForSelector(`#a${n} footer`);

// The same of the demo model, which may lose its way: then it is stopped.
async function over_or_stopped(page, n) {
  try {
    await page.waitForSelector(`#a${n} footer`, { timeout: 20_000 });
  } catch {
    await page.keyboard.press("Escape");
    await over(page, n);
  }
}

// The distinct texts an answer had while it was written.
async function watch_growing(page, n, until) {
  const states = [];
  while (!(await until(states))) {
    const text = await page.evaluate((id) => document.getElementById(id)?.innerText ?? "", `a${n}`);
    if (text !== states.at(-1)) states.push(text);
    await sleep(25);
  }
  return states;
}

for (const size of Object.keys(sizes)) {
  test(`${size}: an answer is paused, stays so through a reload, and is resumed`, async () => {
    const page = await open(size);
    await page.uncheck("#think");
    await send(page, "Say something.");
    await watch_growing(page, 2, (seen) => seen.length >= 4);
    assert.ok(!(await page.isVisible("#resume")));
    await page.click("#pause");
    await page.waitForSelector("#resume", { state: "visible" });
    assert.match(await page.innerText("#a2-status"), /Paused/);
    assert.ok(!(await page.isVisible("#pause")));
    assert.ok(await page.isVisible("#stop"));
    const kept = await page.innerText("#a2 .text");
    await sleep(300);
    assert.equal(await page.innerText("#a2 .text"), kept);
    await picture(page, `paused-${size}`);
    await page.reload();
    await page.waitForSelector("#resume", { state: "visible" });
    await page.waitForFunction((text) => document.querySelector("#a2 .text").innerText === text, kept);
    await page.click("#resume");
    await page.waitForSelector("#pause", { state: "visible" });
    await page.waitForFunction((length) => document.querySelector("#a2 .text").innerText.length > length + 50, kept.length);
    const more = await page.innerText("#a2 .text");
    assert.equal(more.slice(0, kept.length - 20), kept.slice(0, -20));
    await page.click("#stop");
    await over(page);
    await close(page);
  });

  test(`${size}: the first page`, async () => {
    const page = await open(size);
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");
    assert.ok(await page.isVisible("#greeting"));
    assert.equal(await page.locator(".examples button").count(), 4);
    assert.ok(await page.isVisible("#send"));
    assert.ok(!(await page.isVisible("#stop")));
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await picture(page, `greeting-${size}`);
    await close(page);
  });

  test(`${size}: words come one after another, and stop ends them`, async () => {
    const page = await open(size);
    await page.uncheck("#think");
    await send(page, "Say something.");
    await page.waitForSelector("#a2");
    assert.equal(await page.inputValue("#text"), "");
    assert.match(page.url(), /\/c\/[0-9a-f]{32}$/);
    assert.ok(!(await page.isVisible("#greeting")));
    await page.waitForSelector("#stop", { state: "visible" });
    const states = await watch_growing(page, 2, (seen) => seen.length >= 12);
    for (let i = 4; i < states.length; ++i) assert.ok(states[i].length >= states[i - 2].length * 0.8, "the answer shrank");
    await picture(page, `streaming-${size}`);
    await page.click("#stop");
    await over(page);
    const waited = await babbler.until_idle();
    console.log(`${size}: ${states.length} states seen; the engine was free ${waited} ms after the stop`);
    assert.match(await page.innerText("#a2 footer"), /Stopped/);
    const kept = await page.innerText("#a2 .text");
    assert.ok(kept.length > 0);
    await sleep(300);
    assert.equal(await page.innerText("#a2 .text"), kept);
    assert.ok(await page.isVisible("#send"));
    await page.waitForFunction(() => document.activeElement.id === "text");
    await page.click("#a2 footer .copy");
    await page.waitForFunction(() => document.querySelector("#a2 footer .copy").textContent === "Copied");
    assert.equal((await page.evaluate(() => navigator.clipboard.readText())).trim(), kept.trim());

    await page.reload();
    assert.equal(await page.innerText(".question"), "Say something.");
    assert.equal((await page.innerText("#a2 .text")).replace(/\s+/g, " "), kept.replace(/\s+/g, " "));
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await close(page);
  });

  test(`${size}: HTML and scripts in a message are shown and not run`, async () => {
    const page = await open(size);
    const attack = `<script>window.__xss = 1</script><img src=x onerror="window.__xss = 2"><svg onload="window.__xss = 3">` +
      `<a href="javascript:window.__xss = 4">x</a><hx-partial hx-target="body">gone</hx-partial><div hx-get="/" hx-trigger="load">`;
    await send(page, attack);
    await page.waitForSelector("#stop", { state: "visible" });
    await page.waitForFunction(() => document.querySelector("#a2").innerText.length > 5);
    assert.equal(await page.innerText(".question"), attack);
    await page.click("#stop");
    await over(page);
    await page.reload();
    assert.equal(await page.innerText(".question"), attack);
    assert.equal(await page.evaluate(() => window.__xss), undefined);
    assert.equal(await page.locator(".question img, .question script, .question svg").count(), 0);
    await close(page);
  });

  test(`${size}: dark and light`, async () => {
    const page = await open(size, { scheme: "dark" });
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await paper();
    await picture(page, `dark-${size}`);
    await page.click("#theme");
    const light = await paper();
    assert.notEqual(light, dark);
    await page.reload();
    assert.equal(await paper(), light);
    await close(page);
  });
}

// What is shown of an answer that is over.
const shown = (page, n = 2) => page.evaluate((id) => {
  const answer = document.getElementById(id);
  return {
    thinking: answer.querySelector(".thoughts")?.textContent ?? "",
    blocks: [...answer.querySelectorAll(".block")].map((block) => block.innerHTML),
    footer: answer.querySelector("footer").innerText,
  };
}, `a${n}`);
const has_text = (page, length, n = 2) =>
  page.waitForFunction(([id, least]) => document.querySelector(`#${id} .text`)?.innerText.length > least, [`a${n}`, length]);

test("a browser that leaves and comes back finds the whole answer", async () => {
  const page = await open("wide");
  await page.uncheck("#think");
  await send(page, "Say something.");
  await has_text(page, 20);
  const url = page.url();
  const before = await page.innerText("#a2 .text");
  await page.click("#new");
  await page.waitForSelector("#greeting");
  await sleep(300);
  assert.equal((await babbler.health()).running, 1, "the answer goes on");
  await page.goto(url);
  await has_text(page, before.length);
  assert.ok((await page.innerText("#a2 .text")).startsWith(before.slice(0, 20)));
  const clicked = Date.now();
  await page.click("#stop");
  await over(page);
  console.log(`stopped ${Date.now() - clicked} ms after the click`);
  assert.ok(sanitized || Date.now() - clicked < 1000);
  const live = await shown(page);
  await page.reload();
  assert.deepEqual(await shown(page), live);
  await close(page);
  await babbler.until_idle();
});

// Each is interrupted in its own way in the middle of the same answer, which goes on until it is stopped.
test("reloaded, hidden, cut off or in a second tab: all show the same as one that was left alone", async (t) => {
  const server = await Server.start(random_model(), { args: [...endless, "--threads", "1"] });
  const wire = await Wire.to(server);
  t.after(() => wire.close());
  const alone = await open("wide", { server });
  await alone.uncheck("#think");
  await send(alone, "Say something.");
  await has_text(alone, 20);
  const path = new URL(alone.url()).pathname;
  await alone.click("#pause");  // pages take their time to open
  const [reloaded, hidden, second] = await Promise.all([1, 2, 3].map(() => open("wide", { server, path })));
  const cut_off = await open("wide", { server: wire, path });
  await Promise.all([reloaded, hidden, second, cut_off].map((page) => has_text(page, 20)));
  await hidden.evaluate(() => {
    window.hide = (hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    };
    hide(true);
  });
  await sleep(100);
  const while_hidden = await hidden.innerText("#a2 .text");
  const length = async () => (await alone.innerText("#a2 .text")).length;

  const first = await length();
  await alone.click("#resume");
  await has_text(alone, first + 100);
  wire.drop();
  await reloaded.reload();
  await alone.click("#pause");  // or there would soon be more than five pages can draw
  await has_text(reloaded, 20);
  assert.equal(await hidden.innerText("#a2 .text"), while_hidden, "a hidden tab follows nothing");

  const then = await length();
  await alone.click("#resume");
  await hidden.evaluate(() => hide(false));
  await has_text(alone, then + 100);
  wire.drop();
  await reloaded.reload();
  await alone.click("#stop");

  const pages = { alone, reloaded, hidden, second, cut_off };
  const results = {};
  for (const [name, page] of Object.entries(pages)) {
    await over(page).catch((error) => assert.fail(`${name}: ${error}`));
    results[name] = await shown(page);
  }
  assert.ok(results.alone.blocks.join("").length > 300);
  assert.match(results.alone.footer, /Stopped/);
  for (const name of Object.keys(pages)) assert.deepEqual(results[name], results.alone, name);
  cut_off.complaints = cut_off.complaints.filter((text) => !/sse:error|Failed to load resource|ERR_/.test(text));
  await Promise.all(Object.values(pages).map(close));
  await server.stop();
});

test("a stream that cannot be begun is begun again", async () => {
  const page = await open("wide");
  let tries = 0;
  await page.route("**/stream/2", (route) => {
    tries += 1;
    if (tries === 1) return route.fulfill({ status: 503, body: "busy" });
    return tries === 2 ? route.abort() : route.continue();
  });
  await page.uncheck("#think");
  await send(page, "Say something.");
  await page.waitForSelector("#a2 .notice");
  await has_text(page, 20);
  assert.equal(tries, 3);
  assert.equal(await page.locator("#a2 .notice").count(), 0);
  await page.click("#stop");
  await over(page);
  const live = await shown(page);
  await page.reload();
  assert.deepEqual(await shown(page), live);
  page.complaints = page.complaints.filter((text) => !/Failed to load resource|Failed to fetch/.test(text));
  await close(page);
});

test("an answer comes in at most thirty messages a second", async () => {
  const page = await open("wide");
  await page.evaluate(() => {
    window.messages = [];
    document.addEventListener("htmx:sse:after:message", () => messages.push(performance.now()));
  });
  await send(page, "Say something.");
  await page.waitForFunction(() => messages.length > 60);
  const a_second = await page.evaluate(() => (1000 * (messages.length - 1)) / (messages.at(-1) - messages[0]));
  console.log(`${a_second.toFixed(1)} messages a second`);
  assert.ok(a_second < 30);
  await page.click("#stop");
  await over(page);
  await close(page);
});

test("who waits is told so, who is read too, and may give up", async () => {
  const server = await Server.start(random_model(), { args: crowded });
  const [first, second, third] = [await open("wide", { server }), await open("narrow", { server }), await open("wide", { server })];
  const status_of = (page, pattern) =>
    page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#a2-status")?.innerText), pattern.source);
  await send(first, `1 ${half_of_crowded}`);
  await status_of(first, /Reading… \d+ % of \d+,\d+ tokens/);
  await picture(first, "reading-wide");
  const percent = await first.innerText("#a2-status");
  await first.waitForFunction((before) => document.querySelector("#a2-status")?.innerText !== before, percent);
  await send(second, `2 ${half_of_crowded}`);
  await status_of(second, /this answer is the next/);
  await picture(second, "waiting-narrow");
  await send(third, `3 ${half_of_crowded}`);
  await status_of(third, /one answer comes first/);
  await picture(third, "waiting-wide");
  await second.click("#stop");
  await over(second);
  assert.match(await second.innerText("#a2 footer"), /Stopped/);
  await status_of(third, /this answer is the next/);
  await first.click("#stop");
  await over(first);
  await status_of(third, /Reading/);
  await third.click("#stop");
  await over(third);
  await server.until_idle();
  await Promise.all([first, second, third].map(close));
  await server.stop();
});

test("Shift+Enter makes a line, Enter sends, and nothing is sent twice or empty", async () => {
  const page = await open("wide");
  await page.keyboard.press("Enter");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  assert.equal(await page.inputValue("#text"), "one\ntwo");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#a2");
  await page.keyboard.type("three");
  await page.keyboard.press("Enter");
  await sleep(200);
  assert.equal(await page.locator(".question").count(), 1);
  assert.equal(await page.inputValue("#text"), "three");
  await page.keyboard.press("Escape");
  await over(page);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#a4");
  assert.equal(await page.innerText(".question >> nth=0"), "one\ntwo");
  await page.click("#stop");
  await over(page, 4);
  await close(page);
});

test("scrolling up is left in peace, and the end is followed otherwise", async () => {
  const page = await open("narrow");
  await page.setViewportSize({ width: 390, height: 420 });
  await page.uncheck("#think");
  await send(page, "Say something.");
  const fills = () => document.scrollingElement.scrollHeight > 2 * innerHeight;
  await page.waitForFunction(fills);
  await page.evaluate(() => {
    window.from_end = () => document.scrollingElement.scrollHeight - document.scrollingElement.scrollTop - innerHeight;
  });
  await page.waitForFunction(() => from_end() < 150);
  await page.mouse.move(200, 150);
  await page.mouse.wheel(0, -600);
  await page.waitForFunction(() => from_end() > 400);
  await sleep(300);  // the movement is over
  const [top, height] = await page.evaluate(() => [document.scrollingElement.scrollTop, document.scrollingElement.scrollHeight]);
  await page.waitForFunction((before) => document.scrollingElement.scrollHeight > before + 100, height);
  assert.equal(await page.evaluate(() => document.scrollingElement.scrollTop), top);
  await page.click("#stop");
  await over(page);
  await close(page);
});

test("a message that cannot be answered is not sent", async () => {
  const page = await open("wide");
  const long = "word ".repeat(15000);
  await send(page, long);
  await page.waitForSelector("#conversation > .notice");
  assert.match(await page.innerText("#conversation > .notice"), /context|tokens/);
  assert.equal((await page.inputValue("#text")).trim(), long.trim());
  page.complaints = page.complaints.filter((text) => !/response:error|400/.test(text));
  await close(page);
});

test("a server that is killed in the middle of an answer goes on with it when it starts again, and so does its page", async () => {
  let server = await Server.start(random_model(), { args: endless });
  const page = await open("wide", { server });
  await page.uncheck("#think");
  await send(page, "Say something.");
  await has_text(page, 200);
  await sleep(1500);  // of what was shown a second ago nothing is lost
  const before = await page.innerText("#a2 .text");
  server.child.kill("SIGKILL");
  await server.exited;
  await page.waitForSelector("#a2 .notice");
  assert.match(await page.innerText("#a2 .notice"), /connection to the server was lost/);
  const shown_before = await page.innerText("#a2 .text");
  server = await Server.start(random_model(), { args: endless, port: new URL(server.url).port, data: server.data });
  await has_text(page, shown_before.length + 100);
  assert.equal(await page.locator("#a2 .notice").count(), 0);
  const after = await page.innerText("#a2 .text");
  assert.ok(after.startsWith(shown_before.slice(0, -40)), "the same words, and more");
  assert.ok(before.length > 200);
  await page.click("#stop");
  await over(page);
  const live = await shown(page);
  await page.reload();
  assert.deepEqual(await shown(page), live);
  await send(page, "And again.");
  await has_text(page, 20, 4);
  await page.click("#stop");
  await over(page, 4);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  await page.context().close();
  await server.stop();
});

test("conversations are there after the server was stopped in order, also what it was writing", async () => {
  let server = await Server.start(random_model(), { args: endless, serve: ["--grace", "0"] });
  const page = await open("wide", { server });
  await page.uncheck("#think");
  await send(page, "Say something.");
  await has_text(page, 100);
  const path = new URL(page.url()).pathname;
  await page.context().close();
  await server.stop();
  server = await Server.start(random_model(), { args: endless, data: server.data, serve: ["--no-resume"] });
  const later = await open("wide", { server, path });
  assert.match(await later.innerText("#a2 footer"), /Interrupted/);
  assert.ok((await later.innerText("#a2 .text")).length > 50);
  await later.click("#continue");
  await later.waitForSelector("#stop", { state: "visible" });
  await has_text(later, (await later.innerText("#a2 .text")).length + 100);
  await later.click("#stop");
  await over(later);
  await close(later);
  await server.stop();
});

for (const size of Object.keys(sizes)) {
  test(`${size}: conversations are listed, pinned, renamed, deleted and brought back`, async () => {
    const server = await Server.start(random_model(), { args: ["--ctx", "512"] });
    const page = await open(size, { server });
    const list = async () => {
      if (await page.isVisible("#open-side") && !(await page.isVisible("#list"))) await page.click("#open-side");
      return page.locator("#list li > a").allInnerTexts();
    };
    const menu = async (title) => page.locator("#list li", { hasText: title }).locator("summary").click();
    for (const text of ["First of all", "And then"]) {
      await page.goto(server.url);
      await send(page, text);
      await over(page);
    }
    assert.deepEqual(await list(), ["And then", "First of all"]);
    await menu("First of all");
    await page.getByRole("button", { name: "Pin", exact: true }).locator("visible=true").click();
    await page.waitForFunction(() => document.querySelector("#list li > a").innerText.includes("First of all"));
    await menu("And then");
    await page.getByLabel("Rename").locator("visible=true").fill("Renamed <b>");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#list").innerText.includes("Renamed <b>"));
    await picture(page, `list-${size}`);
    await menu("First of all");
    await page.getByRole("button", { name: "Delete" }).locator("visible=true").click();
    await page.waitForSelector("#list .undo");
    assert.deepEqual(await list(), ["Renamed <b>"]);
    await page.click("#list .undo button");
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 2);
    await list();
    await page.fill("#search", "and th");
    await page.waitForSelector("#list mark");
    assert.deepEqual(await page.locator("#list li a").evaluateAll((links) => links.map((a) => a.firstChild.data)), ["Renamed <b>"]);
    await page.fill("#search", "xyzzy");
    await page.waitForSelector("#list .nothing");
    await page.fill("#search", "");
    await page.waitForSelector("#list .menu");
    await page.click("#list li:has-text('First of all') > a");
    assert.equal(await page.innerText(".question"), "First of all");
    await close(page);
    await server.stop();
  });
}

for (const size of Object.keys(sizes)) {
  test(`${size}: conversations are archived and tagged, and a chat branches off at an answer`, async () => {
    const server = await Server.start(random_model(), { args: ["--ctx", "512"] });
    const page = await open(size, { server });
    const side = async () => {
      if (await page.isVisible("#open-side") && !(await page.isVisible("#list"))) await page.click("#open-side");
    };
    const menu = async (title) => page.locator("#list li", { hasText: title }).locator("summary").click();
    const listed = (...titles) => page.waitForFunction((wanted) =>
      JSON.stringify([...document.querySelectorAll("#list li > a")].map((a) => a.innerText.trim())) === wanted, JSON.stringify(titles));
    await send(page, "First of all");
    await over(page);
    const first = page.url();
    await page.click("#a2 footer button[form=duplicate]");
    await page.waitForURL((url) => url.href !== first);
    assert.equal(await page.innerText(".question"), "First of all");
    await page.goto(server.url);
    await send(page, "And then");
    await over(page);
    await side();
    await listed("And then", "First of all", "First of all");
    await menu("And then");
    await page.getByLabel("Tags").locator("visible=true").fill("work, two words");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#list .tags button");
    await picture(page, `tags-${size}`);
    await page.locator("#list .tags button", { hasText: "two words" }).click();
    await listed("And then");
    await menu("And then");
    await page.getByRole("button", { name: "Archive", exact: true }).locator("visible=true").first().click();
    await listed("First of all", "First of all");
    await page.click("#list .shelf button");
    await listed("And then");
    await picture(page, `archive-${size}`);
    await menu("And then");
    await page.getByRole("button", { name: "Back from the archive" }).locator("visible=true").click();
    await listed("And then", "First of all", "First of all");
    await close(page);
    await server.stop();
  });

  test(`${size}: a temporary chat is forgotten`, async () => {
    let server = await Server.start(random_model(), { args: ["--ctx", "512"] });
    const page = await open(size, { server });
    await page.click("#new-temporary");
    await page.waitForSelector(".temporary");
    await picture(page, `temporary-${size}`);
    await send(page, "Nobody is to know");
    await over(page);
    await page.reload();
    assert.equal(await page.innerText(".question"), "Nobody is to know");
    await page.waitForFunction(() => document.querySelector("#list ul") !== null);
    assert.equal(await page.locator("#list li").count(), 0);
    const path = new URL(page.url()).pathname;
    await close(page);
    await server.stop();
    server = await Server.start(random_model(), { args: ["--ctx", "512"], data: server.data });
    assert.equal((await fetch(server.url + path)).status, 404);
    await server.stop();
  });
}

for (const size of Object.keys(sizes)) {
  test(`${size}: where others can come, people sign in, have conversations of their own, and sign out`, async () => {
    const server = await Server.start(random_model(), { args: ["--ctx", "512"], serve: ["--name", "chat.example"] });
    const page = await open(size, { server });
    assert.equal(new URL(page.url()).pathname, "/sign-in");
    assert.match(await page.innerText("main"), /smollm3 user add NAME/);
    user("add", "ann", "correct horse", server.data);
    user("add", "bob", "battery staple", server.data);
    const sign_in = async (name, password) => {
      await page.fill("[name=name]", name);
      await page.fill("[name=password]", password);
      await page.keyboard.press("Enter");
    };
    await sign_in("ann", "wrong horse");
    await page.waitForSelector(".notice >> text=its password is another");
    assert.equal(await page.inputValue("[name=name]"), "ann");
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await picture(page, `sign-in-${size}`);
    await sign_in("Ann ", "correct horse");
    await page.waitForSelector("#greeting");
    await send(page, "A secret of Ann's");
    await over(page);
    const conversation = page.url();
    const sign_out = async (name) => {
      if (await page.isVisible("#open-side")) await page.click("#open-side");
      await picture(page, `signed-in-${size}`);
      await page.getByRole("button", { name, exact: true }).click();
      await page.waitForURL("**/sign-in");
    };
    await sign_out("Sign out");
    await sign_in("bob", "battery staple");
    await page.waitForSelector("#greeting");
    assert.equal(await page.locator("#list li").count(), 0);
    await page.goto(conversation);
    assert.match(await page.innerText("main"), /no such conversation/);
    await page.goto(server.url);
    await sign_out("Sign out everywhere");

    await page.goto(conversation);
    assert.equal(new URL(page.url()).pathname, "/sign-in");
    await sign_in("ann", "correct horse");
    await page.waitForURL(conversation);
    assert.equal(await page.innerText(".question"), "A secret of Ann's");
    // The sign-in ends while the page is open.
    user("passwd", "ann", "another horse", server.data);
    await send(page, "Not sent");
    await page.waitForSelector("#conversation > .notice");
    assert.match(await page.innerText("#conversation > .notice"), /not signed in any more/);
    assert.equal(await page.inputValue("#text"), "Not sent");
    page.complaints = page.complaints.filter((text) => !/40[134]/.test(text));
    await close(page);
    await server.stop();
  });
}

test("signing in and out needs no JavaScript", async () => {
  const server = await Server.start(random_model(), { args: ["--ctx", "512"], serve: ["--name", "chat.example"] });
  user("add", "ann", "correct horse", server.data);
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: sizes.wide });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.fill("[name=name]", "ann");
  await page.fill("[name=password]", "correct horse");
  await page.click("text=Sign in");
  await page.waitForSelector("#composer");
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.waitForURL("**/sign-in");
  await page.goto(server.url);
  assert.equal(new URL(page.url()).pathname, "/sign-in");
  await context.close();
  await server.stop();
});

test("a conversation that is not there says so", async () => {
  const page = await open("wide", { path: "/c/0123456789abcdef0123456789abcdef" });
  assert.match(await page.innerText("main"), /no such conversation/);
  page.complaints = page.complaints.filter((text) => !text.includes("404"));
  await close(page);
});

test("without JavaScript a sentence says what is missing", async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(babbler.url);
  assert.match(await page.innerText("main"), /needs JavaScript/);
  await context.close();
});

for (const size of demo ? Object.keys(sizes) : []) {
  test(`${size}: the demo model thinks, or does not, and answers`, async () => {
    const page = await open(size, { server: talker });
    await page.check("#think");
    await page.click(".examples button >> nth=1");
    await over_or_stopped(page, 2);
    assert.match(await page.innerText("#a2 .thinking summary"), /Thought for \d+ s/);
    await page.waitForFunction(() => !document.querySelector("#a2 details").open);
    assert.match(await page.innerText("#a2 footer"), /tokens/);
    await send(page, "Make a table: Fruit and Amount: apple 3, pear 5, plum 8");
    await over_or_stopped(page, 4);
    await page.uncheck("#think");
    await send(page, "Write a loop from 1 to 5");
    await over_or_stopped(page, 6);
    assert.equal(await page.locator("#a6 details").count(), 0);
    await picture(page, `conversation-${size}`);
    await page.click("#theme");
    await picture(page, `conversation-dark-${size}`);
    await page.reload();
    assert.equal(await page.locator(".question").count(), 3);
    await close(page);
  });
}

test("the servers that all this was asked of end in order", async () => {
  await talker?.stop();
  await babbler.stop();
});
