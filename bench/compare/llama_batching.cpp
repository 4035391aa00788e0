// llama.cpp serving many askers at once, as its own server schedules them, through the C API of the prebuilt libraries.
// Compiled by batching.py; no part of the build.
//
//   llama_batching LIBDIR MODEL THREADS SLOTS split|unified
//
// Each step does what update_slots() of tools/server/server-context.cpp does: one token of every slot that writes, then
// as many tokens of prompts, slot after slot, as fit a batch of 2,048, then llama_decode (which takes it apart into
// ubatches of 512), then a token drawn for every slot whose logits are there. Keys and values are those of
// `llama-server -np SLOTS`: each slot has its own ("split"), or all share a buffer ("unified", which the server takes
// when the number of slots is left to it). What is left out favours llama.cpp: HTTP, JSON and templates.
//
// Tests come on standard input, and the answer to each is a line of JSON on standard output, times in seconds from the
// test's start:
//   N                                     how many ask, and a line for each:
//   AT AFTER ENDED BACKGROUND PROMPT MOST
// One asks once AT seconds have gone by, all background ones before it have written AFTER tokens and, with ENDED 1, all
// others before it are answered. Background ones are cut off as soon as all others are answered.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

namespace {

constexpr uint32_t batch_rows = 2048;  // the server's default
constexpr uint32_t ubatch_rows = 512;  // the server's default

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

struct Ask {
  double at = 0;
  int after = 0;
  bool ended = false;
  bool background = false;
  int prompt = 0;
  int most = 0;
};

struct Answer {
  std::optional<double> asked;
  std::optional<double> end;
  std::vector<double> times;  // of its tokens
};

// The sampler chain of the server's defaults, and no end of an answer before its length (the server's ignore_eos).
// Those of its defaults that do nothing (DRY, top-n-sigma, typical-p and XTC) are left out.
class Sampler {
 public:
  Sampler(const llama_vocab* vocab, uint32_t seed) : vocab_(llama_vocab_n_tokens(vocab)) {
    std::vector<llama_logit_bias> never;
    for (llama_token id = 0; id < vocab_; ++id) {
      if (llama_vocab_is_eog(vocab, id)) never.push_back({id, -std::numeric_limits<float>::infinity()});
    }
    chain_ = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain_,
                            llama_sampler_init_logit_bias(vocab_, static_cast<int>(never.size()), never.data()));
    llama_sampler_chain_add(chain_, llama_sampler_init_penalties(vocab_, 64, 1.0f, 0.0f, 0.0f));
    llama_sampler_chain_add(chain_, llama_sampler_init_top_k(40));
    llama_sampler_chain_add(chain_, llama_sampler_init_top_p(0.95f, 0));
    llama_sampler_chain_add(chain_, llama_sampler_init_min_p(0.05f, 0));
    llama_sampler_chain_add(chain_, llama_sampler_init_temp_ext(0.8f, 0.0f, 1.0f));
    llama_sampler_chain_add(chain_, llama_sampler_init_dist(seed));
    candidates_.resize(static_cast<std::size_t>(vocab_));
  }
  ~Sampler() { llama_sampler_free(chain_); }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  llama_token draw(llama_context* context, int row) {
    const float* logits = llama_get_logits_ith(context, row);
    require(logits, "no logits");
    for (llama_token id = 0; id < vocab_; ++id) candidates_[static_cast<std::size_t>(id)] = {id, logits[id], 0.0f};
    llama_token_data_array array{candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(chain_, &array);
    const llama_token id = array.data[array.selected].id;
    llama_sampler_accept(chain_, id);
    return id;
  }

 private:
  int vocab_;
  llama_sampler* chain_ = nullptr;
  std::vector<llama_token_data> candidates_;
};

struct Slot {
  int ask = -1;  // whose it is; -1: nobody's
  int read = 0;  // tokens of its prompt
  int length = 0;
  llama_token next = 0;
  int row = -1;  // where its logits will be
  std::unique_ptr<Sampler> sampler;
};

class Batch {
 public:
  Batch() : batch_(llama_batch_init(batch_rows, 0, 1)) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  int add(llama_token token, int position, int sequence, bool logits) {
    const int i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = logits;
    return i;
  }
  bool full() const { return batch_.n_tokens >= static_cast<int>(batch_rows); }
  bool empty() const { return batch_.n_tokens == 0; }
  void clear() { batch_.n_tokens = 0; }
  void decode(llama_context* context) {
    const int status = llama_decode(context, batch_);
    llama_synchronize(context);
    require(status == 0, "llama_decode returned " + std::to_string(status));
  }

 private:
  llama_batch batch_;
};

struct Model {
  llama_model* model;
  const llama_vocab* vocab;

  explicit Model(const char* path) {
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    model = llama_model_load_from_file(path, params);
    require(model, std::string(path) + " could not be loaded");
    vocab = llama_model_get_vocab(model);
  }
  ~Model() { llama_model_free(model); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
};

llama_context* make_context(const Model& model, const std::vector<Ask>& asks, int threads, int slots, bool unified) {
  uint32_t longest = 0;
  uint32_t total = 0;
  for (const Ask& ask : asks) {
    const uint32_t room = static_cast<uint32_t>(ask.prompt + ask.most + 255) / 256 * 256;
    longest = std::max(longest, room);
    total += room;
  }
  llama_context_params params = llama_context_default_params();
  params.n_seq_max = static_cast<uint32_t>(slots);
  params.n_ctx = unified ? total : longest * params.n_seq_max;
  params.n_batch = batch_rows;
  params.n_ubatch = ubatch_rows;
  params.n_outputs_max = params.n_seq_max;
  params.n_threads = params.n_threads_batch = threads;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.type_k = params.type_v = GGML_TYPE_F16;
  params.kv_unified = unified;
  llama_context* context = llama_init_from_model(model.model, params);
  require(context, "no context could be made");
  return context;
}

class Serving {
 public:
  Serving(const Model& model, std::vector<Ask> asks, int threads, int slots, bool unified)
      : model_(model),
        asks_(std::move(asks)),
        answers_(asks_.size()),
        slots_(std::min<std::size_t>(static_cast<std::size_t>(slots), asks_.size())),
        context_(make_context(model, asks_, threads, static_cast<int>(slots_.size()), unified)) {}
  ~Serving() { llama_free(context_); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  std::vector<Answer> serve() {
    warm_up();
    start_ = Clock::now();
    while (!over()) {
      admit();
      fill_batch();
      if (batch_.empty()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      batch_.decode(context_);
      draw();
    }
    const double end = now();
    for (Answer& answer : answers_) {
      if (!answer.end) answer.end = end;
    }
    return answers_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  double now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void warm_up() {
    for (int i = 0; i < 16; ++i) batch_.add(some_token(), i, 0, i == 15);
    batch_.decode(context_);
    batch_.clear();
    llama_memory_clear(llama_get_memory(context_), true);
  }

  // Any text's will do; the text's own tokens come before the special ones.
  llama_token some_token() {
    random_ = random_ * 1664525u + 1013904223u;
    return static_cast<llama_token>((random_ >> 8) %
                                    static_cast<uint32_t>(llama_vocab_n_tokens(model_.vocab) * 9 / 10));
  }

  bool over() const {
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      if (!asks_[i].background && !answers_[i].end) return false;
    }
    return true;
  }

  bool may_ask(std::size_t i) const {
    if (now() < asks_[i].at) return false;
    for (std::size_t before = 0; before < i; ++before) {
      if (asks_[before].background) {
        if (static_cast<int>(answers_[before].times.size()) < asks_[i].after) return false;
      } else if (asks_[i].ended && !answers_[before].end) {
        return false;
      }
    }
    return true;
  }

  // Who asked while a step was computed asked when its time had come, not when the step is over.
  double time_of_asking(std::size_t i) const {
    double time = asks_[i].at;
    for (std::size_t before = 0; before < i; ++before) {
      const std::vector<double>& times = answers_[before].times;
      if (asks_[before].background && asks_[i].after > 0) {
        time = std::max(time, times[static_cast<std::size_t>(asks_[i].after) - 1]);
      } else if (!asks_[before].background && asks_[i].ended) {
        time = std::max(time, *answers_[before].end);
      }
    }
    return time;
  }

  void admit() {
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      if (!answers_[i].asked && may_ask(i)) answers_[i].asked = time_of_asking(i);
      const bool waits = answers_[i].asked && !answers_[i].end &&
                         std::ranges::none_of(slots_, [&](const Slot& s) { return s.ask == static_cast<int>(i); });
      const auto slot = std::ranges::find(slots_, -1, &Slot::ask);
      if (!waits || slot == slots_.end()) continue;
      *slot = {};
      slot->ask = static_cast<int>(i);
      slot->sampler = std::make_unique<Sampler>(model_.vocab, static_cast<uint32_t>(i) + 1);
      llama_memory_seq_rm(llama_get_memory(context_), sequence(*slot), -1, -1);
    }
  }

  int sequence(const Slot& slot) const { return static_cast<int>(&slot - slots_.data()); }
  const Ask& ask(const Slot& slot) const { return asks_[static_cast<std::size_t>(slot.ask)]; }
  Answer& answer(const Slot& slot) { return answers_[static_cast<std::size_t>(slot.ask)]; }

  void fill_batch() {
    batch_.clear();
    for (Slot& slot : slots_) {
      slot.row = -1;
      if (slot.ask >= 0 && slot.read == ask(slot).prompt)
        slot.row = batch_.add(slot.next, slot.length++, sequence(slot), true);
    }
    for (Slot& slot : slots_) {
      if (slot.ask < 0) continue;
      while (slot.read < ask(slot).prompt && !batch_.full()) {
        const bool last = ++slot.read == ask(slot).prompt;
        const int row = batch_.add(some_token(), slot.length++, sequence(slot), last);
        if (last) slot.row = row;
      }
    }
  }

  void draw() {
    for (Slot& slot : slots_) {
      if (slot.row < 0) continue;
      slot.next = slot.sampler->draw(context_, slot.row);
      Answer& a = answer(slot);
      a.times.push_back(now());
      if (static_cast<int>(a.times.size()) < ask(slot).most) continue;
      a.end = a.times.back();
      slot = {};
    }
  }

  const Model& model_;
  std::vector<Ask> asks_;
  std::vector<Answer> answers_;
  std::vector<Slot> slots_;
  llama_context* context_;
  Batch batch_;
  Clock::time_point start_ = Clock::now();
  uint32_t random_ = 1;
};

void print(const std::vector<Answer>& answers) {
  std::string separator = "[";
  for (const Answer& answer : answers) {
    std::printf("%s{\"asked\":%.6f,\"end\":%.6f,\"times\":[", separator.c_str(), answer.asked.value_or(0), *answer.end);
    for (std::size_t i = 0; i < answer.times.size(); ++i) std::printf(i == 0 ? "%.6f" : ",%.6f", answer.times[i]);
    std::printf("]}");
    separator = ",";
  }
  std::printf("]\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 6, "usage: see the head of llama_batching.cpp");
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level >= GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_CONT) std::fputs(text, stderr);
        },
        nullptr);
    // Loads the CPU library that suits this machine best, by the libraries' own scores.
    ggml_backend_load_all_from_path(argv[1]);
    llama_backend_init();
    const Model model(argv[2]);
    for (std::size_t count; std::cin >> count;) {
      std::vector<Ask> asks(count);
      for (Ask& ask : asks) std::cin >> ask.at >> ask.after >> ask.ended >> ask.background >> ask.prompt >> ask.most;
      require(!std::cin.fail() && count > 0, "a test is incomplete");
      print(Serving(model, std::move(asks), std::stoi(argv[3]), std::stoi(argv[4]), std::string(argv[5]) == "unified")
                .serve());
    }
  } catch (const std::exception& error) {
    std::cerr << "llama_batching: " << error.what() << '\n';
    return 1;
  }
}
