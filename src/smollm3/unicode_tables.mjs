// Writes unicode_tables.cpp: the class of every code point in Unicode 15.1, the version llama.cpp's tables have.
// tests/tokenizer compares each code point with llama.cpp itself.
//
//   npm install --no-save @unicode/unicode-15.1.0
//   node src/smollm3/unicode_tables.mjs > src/smollm3/unicode_tables.cpp
const data = '@unicode/unicode-15.1.0';
const classes = [
  ['General_Category/Letter', 1],
  ['General_Category/Number', 2],
  ['Binary_Property/White_Space', 3],
];

const classOf = new Uint8Array(0x110001);
for (const [property, value] of classes) {
  const points = (await import(`${data}/${property}/code-points.mjs`)).default;
  for (const point of points) classOf[point] = value;
}

const runs = [];
for (let point = 0; point < 0x110000; ++point) {
  if (point === 0 || classOf[point] !== classOf[point - 1]) runs.push((point << 2) | classOf[point]);
}

const perLine = 12;
const lines = [];
for (let i = 0; i < runs.length; i += perLine) {
  lines.push('    ' + runs.slice(i, i + perLine).map((run) => '0x' + run.toString(16)).join(', ') + ',');
}
console.log(`// Written by unicode_tables.mjs from Unicode 15.1; not edited by hand.
#include "smollm3/unicode.h"

namespace smollm3 {
namespace {

// clang-format off
constexpr std::uint32_t kRuns[] = {
${lines.join('\n')}
};
// clang-format on

}  // namespace

std::span<const std::uint32_t> char_class_runs() { return kRuns; }

}  // namespace smollm3`);
