// A device that fails when it is told to: every operation is carried out by the device of this machine's processors,
// but the one that the countdown ends at throws instead.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "compute/compute.h"

namespace engine {

class FaultyDevice : public compute::Device {
 public:
  explicit FaultyDevice(int threads) : device_(compute::make_cpu_device(threads)) {}

  // The operation after so many others fails.
  void fail_after(std::uint64_t operations) { left_ = operations + 1; }
  void fail_no_more() { left_ = 0; }
  std::uint64_t failures() const { return failures_; }

  std::string name() const override { return device_->name(); }
  int threads() const override { return device_->threads(); }
  bool exact() const override { return device_->exact(); }
  std::size_t batch_rows() const override { return device_->batch_rows(); }
  compute::Rates measure_rates(std::uint64_t bytes) override { return device_->measure_rates(bytes); }
  bool has_fast_mode() const override { return device_->has_fast_mode(); }
  void set_precision(compute::Precision precision) override { device_->set_precision(precision); }
  void prepare(std::span<const compute::Matrix> matrices, std::span<const std::span<const float>> gains) override {
    device_->prepare(matrices, gains);
  }
  void start() override { operate().start(); }
  void wait() override { operate().wait(); }
  void abandon() noexcept override { device_->abandon(); }
  compute::FreeMemory free_memory(std::uint64_t file_bytes) const override { return device_->free_memory(file_bytes); }
  compute::PageMemory allocate_pages(std::size_t bytes) override { return device_->allocate_pages(bytes); }
  void copy_page(const std::byte* from, std::byte* to, std::size_t bytes) override {
    operate().copy_page(from, to, bytes);
  }
  void write_page(std::span<const std::byte> from, std::byte* to) override { operate().write_page(from, to); }
  compute::Buffer allocate(std::size_t rows, std::size_t cols) override { return device_->allocate(rows, cols); }
  std::unique_ptr<compute::Activations> make_activations(std::size_t rows, std::size_t cols) override {
    return device_->make_activations(rows, cols);
  }
  std::span<const float> read(compute::View from) override { return operate().read(from); }
  void write(std::span<const float> from, compute::View to) override { operate().write(from, to); }
  void gather(compute::View x, std::span<const std::size_t> rows, compute::View y) override {
    operate().gather(x, rows, y);
  }
  void assign(compute::View x, compute::Activations& out) override { operate().assign(x, out); }
  void embed(const compute::Matrix& table, std::span<const std::uint32_t> tokens, compute::View x) override {
    operate().embed(table, tokens, x);
  }
  void rms_norm(compute::View x, std::span<const float> gain, float epsilon, compute::Activations& out) override {
    operate().rms_norm(x, gain, epsilon, out);
  }
  void matmul(compute::Activations& x, std::span<const compute::Product> products) override {
    operate().matmul(x, products);
  }
  void swiglu(compute::Activations& x, const compute::Matrix& gate, const compute::Matrix& up,
              compute::Activations& hidden) override {
    operate().swiglu(x, gate, up, hidden);
  }
  void rope(compute::View x, std::size_t head_size, compute::View cos_sin) override {
    operate().rope(x, head_size, cos_sin);
  }
  void store_kv(const compute::KvShape& shape, std::size_t layer, compute::View k, compute::View v,
                std::span<const compute::KvRow> rows) override {
    operate().store_kv(shape, layer, k, v, rows);
  }
  void attention(const compute::KvShape& shape, std::size_t layer, compute::View q,
                 std::span<const compute::KvRow> rows, compute::Activations& out) override {
    operate().attention(shape, layer, q, rows, out);
  }
  void candidates(compute::View logits, std::span<const compute::SamplingRules> rules,
                  std::span<compute::Choice> choices) override {
    operate().candidates(logits, rules, choices);
  }

 private:
  compute::Device& operate() {
    if (left_ > 0 && --left_ == 0) {
      ++failures_;
      throw std::runtime_error("the device failed");
    }
    return *device_;
  }

  std::unique_ptr<compute::Device> device_;
  std::uint64_t left_ = 0;  // until one fails; 0: none will
  std::uint64_t failures_ = 0;
};

}  // namespace engine
