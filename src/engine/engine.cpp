#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "smollm3/kv_memory.h"

namespace engine {
namespace {

using base::Error;
using base::ErrorKind;

// Of the places of those that wait, as many as one client may take: some are left for others.
std::size_t most_of_one(std::size_t places) { return places - places / 4; }

}  // namespace

Busy::Busy(std::string_view why, std::uint32_t seconds)
    : Error(ErrorKind::Busy, "server", why,
            "try again in " + std::to_string(seconds) + (seconds == 1 ? " second" : " seconds")),
      retry_after(seconds) {}

struct Engine::State {
  State(gguf::File file, const Options& its_options)
      : options(its_options),
        loaded(std::move(file), options.device, options.threads, options.context),
        kv_shape(loaded.model().kv_shape(quant::Type::F16)),
        free(loaded.device().free_memory(loaded.file().size())),
        kv_size(smollm3::choose_kv_size(
            {.context = options.context, .memory = options.kv_memory, .conversations = options.conversations},
            loaded.config().context, kv_shape, free)),
        context(kv_size.context),
        pool(loaded.device(), kv_shape, kv_size.positions, free),
        prompts(compute::prompt_precision(loaded.device(), options.exact)),
        preparer(std::make_shared<Preparer>(loaded, context, options.system)),
        worker(loaded, pool, context, preparer->inbox(), {.step = options.step, .prompts = prompts}) {
    loaded.tokenizer();  // what is wrong with any of them is to be known now
    loaded.chat_template();
    check_system_prompt();
    thread = std::thread([this] { loop(); });
  }

  ~State() {
    preparer->close();
    preparer->inbox().close();
    thread.join();
  }

  void check_system_prompt() const;
  void loop();
  void hand_back();
  std::shared_ptr<Generation> admit(const std::string& client);
  std::size_t waiting() const { return worker.load().waiting + preparer->waiting() + preparer->inbox().size(); }

  Options options;
  LoadedModel loaded;
  compute::KvShape kv_shape;
  compute::FreeMemory free;
  smollm3::KvSize kv_size;
  std::uint64_t context;
  smollm3::PagePool pool;
  compute::Precision prompts;
  std::shared_ptr<Preparer> preparer;
  Worker worker;

  std::mutex mutex;  // while something is asked for, and of what follows
  std::condition_variable changed;
  std::optional<std::vector<Unbegun>> handed_back;
  std::atomic<bool> retired{false};
  std::vector<std::weak_ptr<Generation>> asked;  // those that may not be over yet
  std::once_flag fingerprinted;
  Fingerprint fingerprint;
  std::thread thread;
};

void Engine::State::check_system_prompt() const {
  if (options.system.empty()) return;
  Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", ""}}};
  const std::size_t size =
      engine::prepare(turn, options.system, loaded.chat_template(), loaded.tokenizer()).prompt.size();
  if (size < context) return;
  throw Error(ErrorKind::TooLong, "system prompt",
              "it takes " + std::to_string(size) + " tokens and the context holds " + std::to_string(context),
              "shorten it, or raise --ctx");
}

void Engine::State::loop() {
  Inbox& inbox = preparer->inbox();
  while (!inbox.closed()) {
    if (retired) worker.begin_no_more();
    if (worker.step()) continue;
#ifdef SMOLLM3_CHECKS
    worker.check();  // in builds for tests: what is wrong ends the program, with its reason
#endif
    if (retired) {
      hand_back();
      return;
    }
    inbox.wait();
  }
}

// On the worker's thread, which has nothing left to do.
void Engine::State::hand_back() {
  std::vector<Unbegun> unprepared = preparer->hand_back();
  preparer->inbox().refuse();  // from here on what is prepared and was not started
  std::vector<Unbegun> turns = worker.hand_back();
  // Those that were prepared came before those that were not.
  std::ranges::move(unprepared, std::back_inserter(turns));
  const std::lock_guard lock(mutex);
  handed_back = std::move(turns);
  changed.notify_all();
}

// A generation for what is asked now, if there is room for it. Under the mutex.
std::shared_ptr<Generation> Engine::State::admit(const std::string& client) {
  if (retired) throw Error(ErrorKind::Busy, "model", "it is being replaced by another", "try again in a moment");
  std::erase_if(asked, [](const std::weak_ptr<Generation>& one) {
    const auto generation = one.lock();
    return !generation || generation->journal().over();
  });
  std::size_t waiting = 0, its = 0;
  for (const std::weak_ptr<Generation>& one : asked) {
    const auto generation = one.lock();
    const engine::State state = generation ? generation->state() : engine::State::Done;
    const bool queued = state == engine::State::Queued;
    waiting += queued ? 1 : 0;
    // What is paused will want a place again.
    its += (queued || state == engine::State::Paused) && generation->client() == client ? 1 : 0;
  }
  const Load load = worker.load();
  const auto refuse = [&](const char* why) {
    // Until an eighth of those that wait have been begun; a guess where nobody knows.
    throw Busy(why, load.wait_seconds > 0 ? std::max<std::uint32_t>(load.wait_seconds / 8, 1) : 5);
  };
  if (its >= most_of_one(options.most_waiting)) refuse("too many requests of yours are waiting or paused");
  // One that has nothing here yet finds a place beyond, so that those that came back to wait do not take it.
  if (waiting >= options.most_waiting && (its > 0 || waiting >= 2 * options.most_waiting)) {
    refuse("too many requests are waiting");
  }
  auto generation = std::make_shared<Generation>(preparer, client);
  asked.push_back(generation);
  return generation;
}

Engine::Engine(gguf::File file, const Options& options) : state_(std::make_unique<State>(std::move(file), options)) {}

Engine::~Engine() = default;

std::shared_ptr<Generation> Engine::start(Turn turn) { return prepare(std::move(turn), {}); }

std::shared_ptr<Generation> Engine::prepare(Turn turn, OnPrepared on_prepared) {
  turn.sampling.check();
  const std::lock_guard lock(state_->mutex);
  auto generation = state_->admit(turn.asker.client);
  auto shared = std::make_shared<const Turn>(std::move(turn));
  state_->preparer->put({generation, std::move(shared), Clock::now(), std::move(on_prepared)});
  return generation;
}

std::shared_ptr<Generation> Engine::start(Request request) {
  check_request(request, tokenizer(), state_->context);
  const std::lock_guard lock(state_->mutex);
  auto generation = state_->admit(request.asker.client);
  state_->preparer->inbox().put({generation, std::move(request), nullptr, Clock::now()});
  return generation;
}

std::vector<Unbegun> Engine::retire() {
  std::unique_lock lock(state_->mutex);
  state_->retired = true;
  state_->preparer->inbox().ring();
  state_->changed.wait(lock, [this] { return state_->handed_back.has_value(); });
  return std::exchange(*state_->handed_back, {});
}

void Engine::adopt(std::vector<Unbegun> turns) {
  for (Unbegun& turn : turns) {
    turn.generation->belongs_to(state_->preparer);
    state_->preparer->put(std::move(turn));
  }
  state_->preparer->ring();  // some may have been cancelled while they were nobody's
}

Load Engine::load() const {
  Load load = state_->worker.load();
  load.waiting = static_cast<std::uint32_t>(state_->waiting());
  return load;
}

const gguf::File& Engine::file() const { return state_->loaded.file(); }
std::string Engine::model_name() const { return state_->loaded.name(); }
const smollm3::Config& Engine::config() const { return state_->loaded.config(); }
const smollm3::Tokenizer& Engine::tokenizer() const { return state_->loaded.tokenizer(); }
std::string Engine::device_name() const { return state_->loaded.device().name(); }
std::string Engine::device_note() const { return state_->loaded.device_note(); }
const Fingerprint& Engine::fingerprint() const {
  std::call_once(state_->fingerprinted, [this] {
    state_->fingerprint = fingerprint_of(state_->loaded, state_->prompts, state_->kv_shape.type);
  });
  return state_->fingerprint;
}
std::string Engine::mode() const { return compute::mode(state_->loaded.device(), state_->prompts); }
int Engine::threads() const { return state_->loaded.device().threads(); }
std::uint32_t Engine::context() const { return static_cast<std::uint32_t>(state_->context); }
std::uint64_t Engine::kv_positions() const { return state_->kv_size.positions; }

}  // namespace engine
