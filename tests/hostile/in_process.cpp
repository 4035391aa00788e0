// The files named on standard input, one a line, each opened, taken for a model and asked to answer: all in one
// process, so that thousands can go through it under a sanitizer. For each a line on standard output: what became of
// it.
#include <iostream>
#include <string>
#include <utility>

#include "base/error.h"
#include "engine/engine.h"

namespace {

// How it ended: the error, or nothing.
std::string error_of(engine::Generation& generation) {
  const engine::Done done = generation.journal().wait_for_end();
  return done.error ? done.error->what() : "";
}

std::string chat(engine::Engine& engine) {
  engine::Turn turn;
  turn.input.messages = nlohmann::ordered_json::array({{{"role", "user"}, {"content", "Hello <|im_end|>"}}});
  turn.sampling.seed = 1;
  turn.limits.max_tokens = 2;
  return error_of(*engine.start(std::move(turn)));
}

std::string continue_text(engine::Engine& engine) {
  engine::Request request;
  request.prompt = engine.tokenizer().encode("the <think> 00", true);
  request.sampling.temperature = 0;
  request.limits.max_tokens = 2;
  return error_of(*engine.start(std::move(request)));
}

std::string try_file(const std::string& path) {
  try {
    engine::Engine engine(gguf::File::open(path), {.threads = 1});
    std::string error = continue_text(engine);
    return error.empty() ? chat(engine) : error;
  } catch (const base::Error& error) {
    return error.what();
  }
}

}  // namespace

int main() {
  for (std::string path; std::getline(std::cin, path);) {
    const std::string error = try_file(path);
    std::cout << (error.empty() ? "ran" : "error: ");
    for (const char c : error) std::cout << (c == '\n' ? ' ' : c);
    std::cout << std::endl;
  }
}
