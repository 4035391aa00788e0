// llama.cpp, through the C API of the prebuilt libraries that the npm package node-llama-cpp brings. Compiled by
// peer.py against that package's headers; no part of the build.
//
//   llama_cpp logits LIBDIR MODEL THREADS f16|f32 TOKENS OUT
//     TOKENS: a file of ids in decimal; OUT: float32, a row of the vocabulary for each token, all of them one prompt
//   llama_cpp bench LIBDIR MODEL THREADS PROMPT,… N DEPTH,… BATCH,…
//     JSON: tokens per second of prompts of each length, and of decoding N tokens after each depth, in as many
//     sequences at once (all together)
//   llama_cpp quantize LIBDIR MODEL THREADS TYPE OUT
//     Every matrix of a file of floats in one type, or in the mix Q4_K_M
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

namespace {

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

std::vector<int> numbers(const std::string& list) {
  std::vector<int> values;
  std::stringstream in(list);
  for (std::string item; std::getline(in, item, ',');) values.push_back(std::stoi(item));
  return values;
}

struct Context {
  llama_model* model = nullptr;
  llama_context* context = nullptr;
  int vocab = 0;

  // Room for `positions` in each of `sequences`.
  Context(const std::string& path, int threads, int positions, bool f32_cache, bool all_logits, int sequences = 1) {
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model = llama_model_load_from_file(path.c_str(), model_params);
    require(model, path + " could not be loaded");
    vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = static_cast<uint32_t>(sequences);
    params.n_ctx = static_cast<uint32_t>(positions + 255) / 256 * 256 * params.n_seq_max;
    params.n_batch = all_logits ? params.n_ctx : 2048;
    params.n_threads = params.n_threads_batch = threads;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    if (f32_cache) {
      params.type_k = params.type_v = GGML_TYPE_F32;
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;  // it rounds to F16 whatever the cache's type
    }
    context = llama_init_from_model(model, params);
    require(context, "no context could be made");
  }
  ~Context() {
    llama_free(context);
    llama_model_free(model);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Appends the tokens to sequence 0.
  void decode(const std::vector<int32_t>& tokens, int first_position, bool all_logits) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
    for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
      add(batch, tokens[static_cast<std::size_t>(i)], first_position + i, 0,
          all_logits || i + 1 == static_cast<int>(tokens.size()));
    }
    run(batch);
  }

  // Appends token i to sequence i.
  void decode_one_each(const std::vector<int32_t>& tokens, int position) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
    for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
      add(batch, tokens[static_cast<std::size_t>(i)], position, i, true);
    }
    run(batch);
  }

  // Makes another sequence the same as sequence 0.
  void copy_to(int sequence) { llama_memory_seq_cp(llama_get_memory(context), 0, sequence, -1, -1); }

  void forget() { llama_memory_clear(llama_get_memory(context), false); }

 private:
  static void add(llama_batch& batch, int32_t token, int position, int sequence, bool logits) {
    const int i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = position;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = logits;
  }

  void run(llama_batch& batch) {
    const int status = llama_decode(context, batch);
    llama_synchronize(context);
    llama_batch_free(batch);
    require(status == 0, "llama_decode returned " + std::to_string(status));
  }
};

void write_logits(const std::string& model, int threads, bool f32_cache, const std::string& token_file,
                  const std::string& out_file) {
  std::ifstream in(token_file);
  std::vector<int32_t> tokens;
  for (int32_t id; in >> id;) tokens.push_back(id);
  require(!tokens.empty(), token_file + " holds no tokens");
  Context c(model, threads, static_cast<int>(tokens.size()), f32_cache, true);
  c.decode(tokens, 0, true);
  std::ofstream out(out_file, std::ios::binary);
  for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
    const float* row = llama_get_logits_ith(c.context, i);
    require(row, "no logits for token " + std::to_string(i));
    out.write(reinterpret_cast<const char*>(row), static_cast<std::streamsize>(sizeof(float)) * c.vocab);
  }
  require(out.good(), out_file + " could not be written");
}

// Any will do: speed does not depend on them.
std::vector<int32_t> some_tokens(int count, int vocab) {
  std::vector<int32_t> tokens(static_cast<std::size_t>(count));
  uint32_t state = 1;
  for (int32_t& token : tokens) token = static_cast<int32_t>((state = state * 1664525u + 1013904223u) >> 8) % vocab;
  return tokens;
}

void prefill(Context& c, int count) {
  const std::vector<int32_t> tokens = some_tokens(count, c.vocab);
  for (int at = 0; at < count; at += 2048) {
    const int n = std::min(2048, count - at);
    c.decode({tokens.begin() + at, tokens.begin() + at + n}, at, false);
  }
}

void bench(const std::string& model, int threads, const std::vector<int>& prompts, int generated,
           const std::vector<int>& depths, const std::vector<int>& batches) {
  int positions = 0;
  for (const int p : prompts) positions = std::max(positions, p);
  for (const int d : depths) positions = std::max(positions, d + generated);
  const int most = *std::max_element(batches.begin(), batches.end());
  Context c(model, threads, positions + 1, false, false, most);
  const auto seconds = [](auto&& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  prefill(c, 16);  // warms up
  std::string separator = "[";
  for (const int p : prompts) {
    c.forget();
    const double took = seconds([&] { prefill(c, p); });
    std::printf("%s{\"test\":\"pp\",\"tokens\":%d,\"depth\":0,\"batch\":1,\"tokens_per_second\":%.3f}",
                separator.c_str(), p, p / took);
    separator = ",";
  }
  for (const int d : depths) {
    for (const int batch : batches) {
      c.forget();
      prefill(c, d);
      for (int sequence = 1; sequence < batch; ++sequence) c.copy_to(sequence);
      const std::vector<int32_t> tokens = some_tokens(batch, c.vocab);
      c.decode_one_each(tokens, d);
      const double took = seconds([&] {
        for (int i = 1; i < generated + 1; ++i) c.decode_one_each(tokens, d + i);
      });
      std::printf("%s{\"test\":\"tg\",\"tokens\":%d,\"depth\":%d,\"batch\":%d,\"tokens_per_second\":%.3f}",
                  separator.c_str(), generated, d, batch, batch * generated / took);
      separator = ",";
    }
  }
  std::printf("]\n");
}

struct Recipe {
  const char* name;
  llama_ftype type;
  bool one_type = true;
};

constexpr Recipe recipes[] = {
    {"F16", LLAMA_FTYPE_MOSTLY_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16},
    {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
    {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},
    {"Q3_K", LLAMA_FTYPE_MOSTLY_Q3_K_M},
    {"Q4_K", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"Q5_K", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS},
    {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M, false},
};

void quantize(const std::string& model, int threads, const std::string& name, const std::string& out) {
  const auto* recipe =
      std::find_if(std::begin(recipes), std::end(recipes), [&](const Recipe& r) { return r.name == name; });
  require(recipe != std::end(recipes), "no recipe is called " + name);
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = threads;
  params.ftype = recipe->type;
  params.pure = recipe->one_type;
  require(llama_model_quantize(model.c_str(), out.c_str(), &params) == 0, model + " could not be quantised");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string command = argc > 1 ? argv[1] : "";
    require(argc == (command == "quantize" ? 7 : command == "logits" ? 8 : 9), "usage: see the head of llama_cpp.cpp");
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level >= GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_CONT) std::fputs(text, stderr);
        },
        nullptr);
    // Loads the CPU library that suits this machine best, by the libraries' own scores.
    ggml_backend_load_all_from_path(argv[2]);
    llama_backend_init();
    if (command == "logits") {
      write_logits(argv[3], std::stoi(argv[4]), std::string(argv[5]) == "f32", argv[6], argv[7]);
    } else if (command == "bench") {
      bench(argv[3], std::stoi(argv[4]), numbers(argv[5]), std::stoi(argv[6]), numbers(argv[7]), numbers(argv[8]));
    } else if (command == "quantize") {
      quantize(argv[3], std::stoi(argv[4]), argv[5], argv[6]);
    } else {
      throw std::runtime_error("unknown command " + command);
    }
  } catch (const std::exception& error) {
    std::cerr << "llama_cpp: " << error.what() << '\n';
    return 1;
  }
}
