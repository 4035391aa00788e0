// Keys and values of past positions, in pages of 64 positions that hold all layers (compute::KvShape has the layout).
// Pages come from one pool of fixed size, and sequences that begin alike may share them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "compute/compute.h"

namespace smollm3 {

inline std::size_t pages_for(std::size_t positions) {
  return (positions + compute::page_positions - 1) / compute::page_positions;
}

class PagePool {
 public:
  // Reserves room for `positions` positions in the memory of the device, which must outlive the pool; processors take
  // the memory as pages are first used. Throws base::Error, naming the number of positions that would fit, if they
  // would need more than is free.
  PagePool(compute::Device& device, compute::KvShape shape, std::uint64_t positions, const compute::FreeMemory& free);
  // The same where `budget` bytes are free and nothing is held back.
  PagePool(compute::Device& device, compute::KvShape shape, std::uint64_t positions, std::uint64_t budget)
      : PagePool(device, shape, positions, compute::FreeMemory{.found = budget}) {}
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  const compute::KvShape& shape() const { return shape_; }
  std::size_t free_pages() const { return free_.size(); }
  std::size_t pages() const { return pages_; }

  // Throws base::Error (Internal) unless these are all pages in use with the number of their owners, and all others are
  // free.
  void check(const std::unordered_map<const std::byte*, std::uint32_t>& owners) const;

  std::byte* take();  // a page with one owner; nullptr when none is free
  void share(std::byte* page) { in_use_ += owners_[index(page)]++ == cached_[index(page)] ? 1 : 0; }
  // A cache becomes, or is no longer, one of its owners. Pages that have others too are in use; the rest can be had
  // back.
  void share_with_cache(std::byte* page);
  void take_from_cache(std::byte* page);
  std::size_t pages_in_use() const { return in_use_; }
  bool shared(const std::byte* page) const { return owners_[index(page)] > 1; }
  void give_back(std::byte* page);  // free when its last owner gives it back
  void copy(const std::byte* from, std::byte* to) { device_.copy_page(from, to, shape_.page_bytes()); }

 private:
  std::size_t index(const std::byte* page) const {
    return static_cast<std::size_t>(page - memory_.get()) / shape_.page_bytes();
  }

  compute::Device& device_;
  compute::KvShape shape_;
  std::size_t pages_ = 0;
  compute::PageMemory memory_;
  std::vector<std::byte*> free_;
  std::vector<std::uint32_t> owners_;  // of each page
  std::vector<std::uint8_t> cached_;   // of each page: owners that are caches
  std::size_t in_use_ = 0;             // pages with other owners than these
};

// The keys and values of one sequence: positions [0, length) are filled.
class Sequence {
 public:
  explicit Sequence(PagePool& pool) : pool_(&pool) {}
  ~Sequence() { truncate(0); }
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&& other) noexcept;

  // A sequence that begins with this one's first `length` positions: whole pages are shared, the rest is copied, or
  // left out if the pool has no page for the copy.
  Sequence fork(std::size_t length) const;

  std::size_t length() const { return length_; }
  std::span<std::byte* const> pages() const { return pages_; }
  const compute::KvShape& shape() const { return pool_->shape(); }

  // Goes on, from the end of whole pages, with one that another owner has filled.
  void share_page(std::byte* page);
  // Exchanges a page that is filled for another one that holds the same.
  void replace_page(std::size_t index, std::byte* page);
  // Makes room for `count` more positions; false, and nothing changed, if the pool has too few pages.
  [[nodiscard]] bool reserve(std::size_t count);
  // Counts `count` reserved positions as filled.
  void advance(std::size_t count) { length_ += count; }
  // Forgets positions from `length` on and gives their pages back. What follows is written in place, so a page that
  // this cuts in two and that others share is replaced by a copy, or left out (length() is less then) if the pool has
  // none free.
  void truncate(std::size_t length);

 private:
  PagePool* pool_;
  std::vector<std::byte*> pages_;
  std::size_t length_ = 0;
};

}  // namespace smollm3
