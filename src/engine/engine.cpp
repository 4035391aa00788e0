#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/resources.h"
#include "engine/stop.h"

namespace engine {
namespace {

using base::Error;
using Clock = std::chrono::steady_clock;

// Conversations whose keys and values are kept for their next turn, memory permitting.
constexpr std::size_t kept_conversations = 16;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double speed(std::uint32_t tokens, double duration) { return tokens > 0 && duration > 0 ? tokens / duration : 0; }

// The positions to make room for: what was asked for, or else the model's own number, fewer if memory is short.
std::uint64_t choose_context(std::uint32_t asked, const smollm3::Config& config, const compute::KvShape& shape,
                             std::uint64_t budget) {
  if (asked != 0) return asked;
  const std::uint64_t fitting = budget / shape.page_bytes() * compute::page_positions;
  return std::max<std::uint64_t>(std::min<std::uint64_t>(config.context, fitting), compute::page_positions);
}

class Job : public Ticket {
 public:
  Job(Request r, Listener l, std::shared_ptr<std::atomic<bool>> f)
      : request(std::move(r)), listener(std::move(l)), some_cancelled(std::move(f)) {}

  void cancel() override {
    cancelled = true;
    *some_cancelled = true;
  }
  std::uint32_t ahead() const override { return in_front; }

  Request request;
  Listener listener;
  std::atomic<bool> cancelled{false};
  std::shared_ptr<std::atomic<bool>> some_cancelled;  // the engine's, which a ticket may outlive
  std::atomic<std::uint32_t> in_front{0};
  Clock::time_point queued = Clock::now();
  Usage usage;
};

// A conversation as computed so far: its tokens, and their keys and values.
struct Computed {
  smollm3::Sequence sequence;
  std::vector<Token> tokens;
};

std::size_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

double Usage::prompt_speed() const { return speed(prompt_tokens - cached_tokens, prompt_seconds); }
double Usage::generate_speed() const {
  return generated_tokens > 1 ? speed(generated_tokens - 1, generate_seconds) : 0;
}

struct Engine::State {
  State(gguf::File f, const Options& options)
      : file(std::move(f)),
        chosen(compute::make_device(options.device, options.threads > 0 ? options.threads : base::usable_processors())),
        device(*chosen.device),
        tokenizer(smollm3::Tokenizer::load(file)),
        chat_template(smollm3::ChatTemplate::of(file)),
        model(file, device, options.context),
        kv_shape(model.kv_shape(quant::Type::F16)),
        prompt_precision(compute::prompt_precision(device, options.exact)),
        budget(device.free_memory(file.size())),
        context(static_cast<std::uint32_t>(choose_context(options.context, model.config(), kv_shape, budget))),
        pool(device, kv_shape, context, budget) {
    if (tokenizer.vocab_size() != static_cast<std::int32_t>(model.config().vocab)) {
      throw Error(file.name(),
                  "its tokenizer has " + std::to_string(tokenizer.vocab_size()) + " tokens and its weights " +
                      std::to_string(model.config().vocab),
                  "the file is damaged or badly converted");
    }
    worker = std::thread([this] { work(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      if (running) running->cancel();
    }
    wake.notify_all();
    worker.join();
  }

  void work();
  void update_places();
  void dismiss_cancelled();
  void answer(Job& job);
  Computed begin(Job& job);
  bool compute_prompt(Job& job, Computed& conversation);
  Finish generate(Job& job, Computed& conversation, Sampler& sampler);
  void forward(Computed& conversation, std::span<const Token> tokens, smollm3::Chunk::Logits logits,
               compute::Precision precision);
  void keep(Computed conversation);

  gguf::File file;
  compute::ChosenDevice chosen;
  compute::Device& device;
  smollm3::Tokenizer tokenizer;
  smollm3::ChatTemplate chat_template;
  smollm3::Model model;
  compute::KvShape kv_shape;
  compute::Precision prompt_precision;
  std::uint64_t budget;
  std::uint32_t context;
  smollm3::PagePool pool;
  std::list<Computed> kept;   // most recently used first; only the worker touches it
  std::vector<float> logits;  // of the last token computed

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Job>> waiting;
  std::shared_ptr<Job> running;
  std::shared_ptr<std::atomic<bool>> some_cancelled = std::make_shared<std::atomic<bool>>(false);
  bool stopping = false;
  std::thread worker;
};

void Engine::State::work() {
  std::unique_lock lock(mutex);
  for (;;) {
    wake.wait(lock, [this] { return stopping || !waiting.empty(); });
    if (waiting.empty()) return;
    running = std::move(waiting.front());
    waiting.pop_front();
    if (stopping) running->cancel();
    update_places();
    lock.unlock();
    answer(*running);
    lock.lock();
    running.reset();
  }
}

void Engine::State::update_places() {
  std::uint32_t place = running ? 1 : 0;
  if (running) running->in_front = 0;
  for (const auto& job : waiting) job->in_front = place++;
}

// Lets those go that were cancelled while they waited, so that nobody waits for the dead.
void Engine::State::dismiss_cancelled() {
  if (!some_cancelled->exchange(false)) return;
  std::vector<std::shared_ptr<Job>> gone;
  {
    const std::lock_guard lock(mutex);
    const auto first =
        std::stable_partition(waiting.begin(), waiting.end(), [](const auto& job) { return !job->cancelled; });
    gone.assign(first, waiting.end());
    waiting.erase(first, waiting.end());
    update_places();
  }
  for (const auto& job : gone) job->listener({.finish = Finish::Cancelled, .usage = job->usage});
}

void Engine::State::answer(Job& job) {
  const auto finish = [&](Finish how, std::string error = {}) {
    job.listener(
        {.prompt_done = job.usage.prompt_tokens, .finish = how, .error = std::move(error), .usage = job.usage});
  };
  job.usage.queue_seconds = seconds(Clock::now() - job.queued);
  job.usage.prompt_tokens = static_cast<std::uint32_t>(job.request.prompt.size());
  if (job.cancelled) return finish(Finish::Cancelled);
  try {
    Sampler sampler(job.request.sampling);
    sampler.see_prompt(job.request.prompt);
    Computed conversation = begin(job);
    const Clock::time_point start = Clock::now();
    const bool computed = compute_prompt(job, conversation);
    job.usage.prompt_seconds = seconds(Clock::now() - start);
    const Finish how = computed ? generate(job, conversation, sampler) : Finish::Cancelled;
    keep(std::move(conversation));
    finish(how);
  } catch (const std::exception& error) {
    finish(Finish::Failed, error.what());
  }
}

// Takes over what is already known of the prompt. At least its last token is left to compute, for its logits.
Computed Engine::State::begin(Job& job) {
  const std::span<const Token> prompt = job.request.prompt;
  auto best = kept.end();
  std::size_t known = 0;
  for (auto it = kept.begin(); it != kept.end(); ++it) {
    const std::size_t common = std::min(common_prefix(it->tokens, prompt), prompt.size() - 1);
    if (common > known) {
      known = common;
      best = it;
    }
  }
  if (best == kept.end()) return {smollm3::Sequence(pool), {}};
  job.usage.cached_tokens = static_cast<std::uint32_t>(known);

  // A conversation that goes on is continued in place; one that merely begins alike is left to be continued later.
  const bool goes_on = known * 4 >= best->tokens.size() * 3;
  Computed conversation = goes_on ? std::move(*best) : Computed{best->sequence.fork(known), best->tokens};
  if (goes_on) {
    kept.erase(best);
    conversation.sequence.truncate(known);
  }
  conversation.tokens.resize(conversation.sequence.length());
  job.usage.cached_tokens = static_cast<std::uint32_t>(conversation.tokens.size());
  return conversation;
}

// Runs the next tokens of a conversation, making room by forgetting others.
void Engine::State::forward(Computed& conversation, std::span<const Token> tokens, smollm3::Chunk::Logits wanted,
                            compute::Precision precision) {
  while (!conversation.sequence.reserve(tokens.size())) {
    if (kept.empty()) throw Error("context", "the key/value cache is full", "start a new conversation or raise --ctx");
    kept.pop_back();
  }
  const smollm3::Chunk chunk{.sequence = &conversation.sequence, .tokens = tokens, .logits = wanted};
  const std::span<const float> result = model.forward({&chunk, 1}, kv_shape, precision);
  conversation.tokens.insert(conversation.tokens.end(), tokens.begin(), tokens.end());
  logits.assign(result.begin(), result.end());
}

// Leaves the logits of the prompt's last token; false if the request was cancelled.
bool Engine::State::compute_prompt(Job& job, Computed& conversation) {
  const std::span<const Token> prompt = job.request.prompt;
  for (std::size_t at = conversation.tokens.size(); at < prompt.size();) {
    dismiss_cancelled();
    if (job.cancelled) return false;
    const std::size_t count = std::min(prompt.size() - at, model.max_batch());
    const bool last = at + count == prompt.size();
    forward(conversation, prompt.subspan(at, count), last ? smollm3::Chunk::Logits::Last : smollm3::Chunk::Logits::None,
            prompt_precision);
    at += count;
    job.listener({.prompt_done = static_cast<std::uint32_t>(at), .usage = job.usage});
  }
  return true;
}

Finish Engine::State::generate(Job& job, Computed& conversation, Sampler& sampler) {
  const std::size_t room = context - job.request.prompt.size();
  const std::size_t most = job.request.max_tokens == 0 ? room : std::min<std::size_t>(job.request.max_tokens, room);
  smollm3::StreamDecoder decoder(tokenizer);
  StopFilter filter(job.request.stop);
  const Clock::time_point start = Clock::now();
  const auto tell = [&](std::string text) {
    if (text.empty()) return;
    job.listener({.text = std::move(text), .prompt_done = job.usage.prompt_tokens, .usage = job.usage});
  };
  for (Finish how = Finish::Length;;) {
    const Token token = sampler.next(logits);
    ++job.usage.generated_tokens;
    job.usage.generate_seconds = seconds(Clock::now() - start);
    const bool ended = tokenizer.is_end(token);
    if (!ended) tell(filter.push(decoder.push(token)));
    if (ended || filter.stopped()) how = Finish::Stop;
    if (how == Finish::Stop || job.usage.generated_tokens >= most) {
      if (!filter.stopped()) tell(filter.push(decoder.finish()));
      if (filter.stopped()) how = Finish::Stop;
      tell(filter.finish());
      return how;
    }
    dismiss_cancelled();
    if (job.cancelled) return Finish::Cancelled;
    forward(conversation, {&token, 1}, smollm3::Chunk::Logits::Last, compute::Precision::Exact);
  }
}

void Engine::State::keep(Computed conversation) {
  kept.push_front(std::move(conversation));
  if (kept.size() > kept_conversations) kept.pop_back();
}

Engine::Engine(gguf::File file, const Options& options) : state_(std::make_unique<State>(std::move(file), options)) {}

Engine::~Engine() = default;

std::shared_ptr<Ticket> Engine::submit(Request request, Listener listener) {
  request.sampling.check();
  if (request.prompt.empty()) throw Error("prompt", "is empty", "write something");
  for (const Token token : request.prompt) {
    if (!state_->tokenizer.is_valid(token)) throw Error("prompt", "has a token that the model does not know");
  }
  if (request.prompt.size() >= state_->context) {
    throw Error("conversation",
                "it takes " + std::to_string(request.prompt.size()) + " tokens and the context holds " +
                    std::to_string(state_->context),
                "start a new one, or raise --ctx");
  }
  auto job = std::make_shared<Job>(std::move(request), std::move(listener), state_->some_cancelled);
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.push_back(job);
    state_->update_places();
  }
  state_->wake.notify_one();
  return job;
}

Engine::Load Engine::load() const {
  const std::lock_guard lock(state_->mutex);
  return {.running = state_->running ? 1u : 0u, .waiting = static_cast<std::uint32_t>(state_->waiting.size())};
}

const gguf::File& Engine::file() const { return state_->file; }
std::string Engine::model_name() const { return std::string(state_->file.string("general.name", state_->file.name())); }
const smollm3::Config& Engine::config() const { return state_->model.config(); }
const smollm3::Tokenizer& Engine::tokenizer() const { return state_->tokenizer; }
const smollm3::ChatTemplate& Engine::chat_template() const { return state_->chat_template; }
std::string Engine::device_name() const { return state_->device.name(); }
std::string Engine::device_note() const { return state_->chosen.note; }
std::string Engine::mode() const { return compute::mode(state_->device, state_->prompt_precision); }
int Engine::threads() const { return state_->device.threads(); }
std::uint32_t Engine::context() const { return state_->context; }

}  // namespace engine
