#include "smollm3/kv_cache.h"

#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "smollm3/kv_memory.h"

namespace smollm3 {

PagePool::PagePool(compute::Device& device, compute::KvShape shape, std::uint64_t positions,
                   const compute::FreeMemory& free)
    : device_(device), shape_(shape) {
  require_room(positions, shape, free);
  const std::size_t page_bytes = shape.page_bytes();
  pages_ = pages_for(positions);
  memory_ = device.allocate_pages(pages_ * page_bytes);
  owners_.resize(pages_);
  cached_.resize(pages_);
  free_.reserve(pages_);
  for (std::size_t i = pages_; i-- > 0;) free_.push_back(memory_.get() + i * page_bytes);
}

std::byte* PagePool::take() {
  if (free_.empty()) return nullptr;
  std::byte* page = free_.back();
  free_.pop_back();
  owners_[index(page)] = 1;
  ++in_use_;
  return page;
}

void PagePool::give_back(std::byte* page) {
  std::uint32_t& owners = owners_[index(page)];
  if (--owners == cached_[index(page)]) --in_use_;
  if (owners == 0) free_.push_back(page);
}

void PagePool::share_with_cache(std::byte* page) {
  ++owners_[index(page)];
  ++cached_[index(page)];
}

void PagePool::take_from_cache(std::byte* page) {
  --cached_[index(page)];
  if (--owners_[index(page)] == 0) free_.push_back(page);
}

void PagePool::check(const std::unordered_map<const std::byte*, std::uint32_t>& owners) const {
  const auto wrong = [](const std::string& why) {
    throw base::Error(base::ErrorKind::Internal, "key/value pages", why);
  };
  if (owners.size() + free_.size() != pages_) {
    wrong(std::to_string(owners.size()) + " are in use, " + std::to_string(free_.size()) + " free, of " +
          std::to_string(pages_));
  }
  for (const auto& [page, count] : owners) {
    if (owners_[index(page)] != count) wrong("one has another number of owners than is counted");
  }
  for (const std::byte* page : free_) {
    if (owners_[index(page)] != 0 || owners.contains(page)) wrong("one is free and in use");
  }
}

Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_), pages_(std::move(other.pages_)), length_(std::exchange(other.length_, 0)) {
  other.pages_.clear();
}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(pages_, other.pages_);
  std::swap(length_, other.length_);
  return *this;
}

Sequence Sequence::fork(std::size_t length) const {
  Sequence twin(*pool_);
  const std::size_t whole = length / compute::page_positions;
  twin.pages_.reserve(whole + 1);
  for (std::size_t i = 0; i < whole; ++i) {
    pool_->share(pages_[i]);
    twin.pages_.push_back(pages_[i]);
  }
  twin.length_ = whole * compute::page_positions;
  if (twin.length_ == length) return twin;
  std::byte* page = pool_->take();
  if (!page) return twin;
  twin.pages_.push_back(page);
  pool_->copy(pages_[whole], page);
  twin.length_ = length;
  return twin;
}

void Sequence::share_page(std::byte* page) {
  pages_.push_back(page);
  pool_->share(page);
  length_ += compute::page_positions;
}

void Sequence::replace_page(std::size_t index, std::byte* page) {
  pool_->share(page);
  pool_->give_back(std::exchange(pages_[index], page));
}

bool Sequence::reserve(std::size_t count) {
  const std::size_t needed = pages_for(length_ + count);
  if (needed <= pages_.size()) return true;
  if (needed - pages_.size() > pool_->free_pages()) return false;
  pages_.reserve(needed);
  while (pages_.size() < needed) pages_.push_back(pool_->take());
  return true;
}

void Sequence::truncate(std::size_t length) {
  const std::size_t kept = pages_for(length);
  while (pages_.size() > kept) {
    pool_->give_back(pages_.back());
    pages_.pop_back();
  }
  length_ = length;
  if (length % compute::page_positions == 0 || !pool_->shared(pages_.back())) return;
  const auto give_back = [this](std::byte* page) { pool_->give_back(page); };
  const std::unique_ptr<std::byte, decltype(give_back)> shared(pages_.back(), give_back);
  pages_.pop_back();
  length_ -= length % compute::page_positions;
  std::byte* page = pool_->take();
  if (!page) return;
  pages_.push_back(page);
  pool_->copy(shared.get(), page);
  length_ = length;
}

}  // namespace smollm3
