// A new, empty place for a database, for one test: a folder, or where SMOLLM3_TEST_POSTGRES names the folder of a
// running PostgreSQL's socket, a database there.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>

namespace store {

class TestPlace {
 public:
  TestPlace() : name_("smollm3_test_" + std::to_string(std::random_device{}())) {
    if (const char* socket = std::getenv("SMOLLM3_TEST_POSTGRES"); socket != nullptr) {
      if (std::system(("createdb -h '" + std::string(socket) + "' " + name_).c_str()) != 0) {
        throw std::runtime_error("createdb failed");
      }
      where_ = "postgresql:///" + name_ + "?host=" + socket;
      on_postgres_ = true;
    } else {
      where_ = (std::filesystem::temp_directory_path() / name_).string();
    }
  }
  ~TestPlace() {
    if (!on_postgres_) std::filesystem::remove_all(where_);
  }
  TestPlace(const TestPlace&) = delete;
  TestPlace& operator=(const TestPlace&) = delete;

  const std::string& where() const { return where_; }
  bool on_postgres() const { return on_postgres_; }

 private:
  std::string name_;
  std::string where_;
  bool on_postgres_ = false;
};

}  // namespace store
