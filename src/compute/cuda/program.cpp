#include "compute/cuda/program.h"

#include <algorithm>
#include <string>

#include "compute/cuda/packed.h"

namespace compute::cuda {
namespace {

constexpr std::size_t input_bytes = 16 << 20;
constexpr std::size_t input_alignment = 256;
constexpr std::size_t kept_graphs = 64;

}  // namespace

Program::Program(cudaStream_t stream) : stream_(stream), inputs_(input_bytes) {
  for (Staging& staging : staging_) {
    staging.memory = PinnedMemory(input_bytes);
    check(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming), "event");
  }
}

Program::~Program() {
  for (const Graph& graph : graphs_) cudaGraphExecDestroy(graph.executable);
  for (const Staging& staging : staging_) cudaEventDestroy(staging.copied);
}

std::byte* Program::place(std::span<const std::byte> bytes, std::size_t room) {
  const std::size_t end = used_ + round_up(std::max(bytes.size(), room), input_alignment);
  if (end > input_bytes) {
    throw base::Error(base::ErrorKind::Busy, "batch",
                      "its tokens' places in the cache take more than " + std::to_string(input_bytes >> 20) + " MiB",
                      "answer fewer conversations at once");
  }
  Staging& staging = staging_[current_];
  if (used_ == 0) check(cudaEventSynchronize(staging.copied), "copy of inputs");
  std::ranges::copy(bytes, staging.memory.as(used_));
  std::byte* const at = inputs_.as(used_);
  used_ = end;
  return at;
}

void Program::start(bool repeated, bool last) {
  try {
    Staging& staging = staging_[current_];
    if (used_ > copied_) {
      check(cudaMemcpyAsync(inputs_.as(copied_), staging.memory.as(copied_), used_ - copied_, cudaMemcpyHostToDevice,
                            stream_),
            "copy of inputs");
      copied_ = used_;
    }
    if (!steps_.empty()) {
      if (repeated) {
        check(cudaGraphLaunch(graph(), stream_), "graph");
      } else {
        for (const auto& step : steps_) step(stream_);
      }
      steps_.clear();
      key_.clear();
    }
    if (last) turn();
  } catch (...) {
    discard();
    throw;
  }
}

void Program::discard() {
  steps_.clear();
  key_.clear();
  turn();
}

// Takes the other staging memory for the inputs of the next pass.
void Program::turn() {
  if (used_ == 0) return;
  cudaEventRecord(staging_[current_].copied, stream_);  // a failure shows when the event is waited for
  current_ = 1 - current_;
  used_ = copied_ = 0;
}

cudaGraphExec_t Program::graph() {
  const auto known = std::ranges::find(graphs_, key_, &Graph::key);
  if (known != graphs_.end()) {
    graphs_.splice(graphs_.begin(), graphs_, known);
  } else {
    graphs_.push_front({key_, capture()});
    if (graphs_.size() > kept_graphs) {
      check(cudaStreamSynchronize(stream_), "wait");
      cudaGraphExecDestroy(graphs_.back().executable);
      graphs_.pop_back();
    }
  }
  return graphs_.front().executable;
}

cudaGraphExec_t Program::capture() {
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
  cudaGraph_t graph = nullptr;
  try {
    for (const auto& step : steps_) step(stream_);
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "capture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "graph");
  return executable;
}

}  // namespace compute::cuda
