// Compares token ids with llama.cpp's (npm package node-llama-cpp, its prebuilt binary), chunk by chunk, under both
// values of tokenizer.ggml.pre. --write-golden writes golden.txt from llama.cpp's ids: for machines without node.
//
//   node tests/tokenizer/compare.mjs --driver build/test/tokenizer_driver [--write-golden] [--text FILE …]
//
// --text compares files of your own instead of the chunks. The vocabulary is $SMOLLM3_SHARED/data/llama-bpe-vocab.gguf,
// by default of ../shared; node-llama-cpp is looked for in $SMOLLM3_NODE_MODULES, then where node looks. Exit status 77
// says that one of them is not there.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    driver: { type: 'string' },
    'write-golden': { type: 'boolean', default: false },
    text: { type: 'string', multiple: true, default: [] },
  },
});
const here = path.dirname(fileURLToPath(import.meta.url));
const shared = process.env.SMOLLM3_SHARED ?? path.join(here, '../../../shared');
const vocabulary = path.join(shared, 'data/llama-bpe-vocab.gguf');

function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

async function importPeer() {
  const folder = process.env.SMOLLM3_NODE_MODULES;
  const base = folder ? path.join(path.resolve(folder), '..', 'x.js') : path.join(here, 'x.js');
  try {
    return await import(pathToFileURL(createRequire(base).resolve('node-llama-cpp')).href);
  } catch (error) {
    skip(`node-llama-cpp cannot be loaded (${error.code ?? error.message}); `
      + 'set SMOLLM3_NODE_MODULES to a node_modules folder that has it');
  }
}

if (!fs.existsSync(vocabulary)) skip(`${vocabulary} is not there`);
const { getLlama } = await importPeer();
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizer-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));
const inScratch = (name) => path.join(scratch, name);

// The files that driver.cpp describes.
function readTexts(file) {
  const bytes = fs.readFileSync(file);
  const texts = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32LE(at + 1);
    texts.push({ special: bytes[at] !== 0, text: bytes.toString('utf8', at + 5, end) });
    at = end;
  }
  return texts;
}

function writeTexts(file, texts) {
  fs.writeFileSync(file, Buffer.concat(texts.flatMap((text) => {
    const head = Buffer.alloc(5);
    head.writeUInt32LE(Buffer.byteLength(text), 1);
    return [head, Buffer.from(text)];
  })));
}

function readIds(file) {
  const bytes = fs.readFileSync(file);
  const ids = [];
  for (let at = 0; at < bytes.length;) {
    const count = bytes.readUInt32LE(at);
    const first = at + 4;
    ids.push(Uint32Array.from({ length: count }, (_, i) => bytes.readUInt32LE(first + 4 * i)));
    at = first + 4 * count;
  }
  return ids;
}

function vocabularyWith(pre) {
  const bytes = fs.readFileSync(vocabulary);
  const key = 'tokenizer.ggml.pre';
  const value = bytes.indexOf(key) + key.length + 12; // after the value's type and length
  const before = bytes.toString('latin1', value, value + 9);
  if (!/^(llama|smaug)-bpe$/.test(before)) throw new Error(`tokenizer.ggml.pre is ${before}`);
  bytes.write(pre, value, 'latin1');
  const file = inScratch(`${pre}.gguf`);
  fs.writeFileSync(file, bytes);
  return file;
}

// FNV-1a, 64 bits, as corpus::IdHash.
class IdHash {
  low = 0x84222325;
  high = 0xcbf29ce4;
  byte(value) {
    const low = (this.low ^ value) >>> 0;
    // times 2^40 + 0x1b3
    const product = low * 0x1b3;
    this.high = (Math.imul(this.high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    this.low = product >>> 0;
  }
  id(value) {
    for (let shift = 0; shift < 32; shift += 8) this.byte((value >>> shift) & 0xff);
  }
  text(ids) {
    for (const id of ids) this.id(id);
    this.id(0xffffffff);
  }
  toString() {
    return this.high.toString(16).padStart(8, '0') + this.low.toString(16).padStart(8, '0');
  }
}

function loadChunks() {
  if (options.text.length > 0) {
    const texts = options.text.map((file) => fs.readFileSync(file, 'utf8'));
    writeTexts(inScratch('texts'), texts);
    return options.text.map((file) => ({ name: file, count: 1 }));
  }
  const listing = execFileSync(options.driver, ['chunks', vocabulary, inScratch('texts')], { encoding: 'utf8' });
  return listing.trim().split('\n').map((line) => {
    const [name, count] = line.split(' ');
    return { name, count: Number(count) };
  });
}

const chunks = loadChunks();
const texts = readTexts(inScratch('texts'));
const bytes = texts.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
const hashes = chunks.map(() => []);
let differences = 0;

const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
for (const pre of ['smaug-bpe', 'llama-bpe']) {
  const model = await llama.loadModel({ modelPath: vocabularyWith(pre), vocabOnly: true });
  execFileSync(options.driver, ['encode', vocabulary, pre, inScratch('texts'), inScratch('ids')]);
  const ours = readIds(inScratch('ids'));
  let at = 0;
  let tokens = 0;
  for (const [index, chunk] of chunks.entries()) {
    const hash = new IdHash();
    for (let i = 0; i < chunk.count; ++i, ++at) {
      const theirs = model.tokenize(texts[at].text, texts[at].special);
      hash.text(theirs);
      tokens += theirs.length;
      const differing = theirs.findIndex((id, position) => id !== ours[at][position]);
      if (differing < 0 && theirs.length === ours[at].length) continue;
      const first = differing < 0 ? theirs.length : differing;
      if (++differences > 20) continue;
      const before = model.detokenize(theirs.slice(0, first)).slice(-20);
      const ids = (list) => [...list.slice(first, first + 6)].join(' ');
      console.log(`${pre} ${chunk.name} text ${i}: after ${JSON.stringify(before)} llama.cpp has ${ids(theirs)}, `
        + `we have ${ids(ours[at])}`);
    }
    hashes[index].push(hash.toString());
  }
  console.log(`${pre}: ${bytes} bytes in ${texts.length} texts, ${tokens} tokens`);
}

if (options['write-golden']) {
  const lines = chunks.map((chunk, index) => `${chunk.name} ${hashes[index].join(' ')}\n`);
  fs.writeFileSync(path.join(here, 'golden.txt'), lines.join(''));
}
console.log(differences === 0 ? 'all ids are equal' : `${differences} texts differ`);
process.exit(differences === 0 ? 0 : 1); // the peer's threads would keep the process alive
