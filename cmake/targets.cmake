# How every library, program and test of the project is declared, so that all get the same flags.

# Bits must not depend on the compiler's choices: no contraction of a*b+c into an FMA that the source does not name.
add_library(smollm3_options INTERFACE)
set(cxx_options -Wall -Wextra -Wpedantic -Wshadow -Wconversion -ffp-contract=off -fno-math-errno)
if(SMOLLM3_WERROR)
  list(APPEND cxx_options -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # These warn of correct uses of std::string at -O3 (GCC bugs 105329 and 105651, among others).
  list(APPEND cxx_options -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()
target_compile_options(smollm3_options INTERFACE "$<$<COMPILE_LANGUAGE:C,CXX>:${cxx_options}>")
target_include_directories(smollm3_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(SMOLLM3_SANITIZE)
  target_compile_options(smollm3_options INTERFACE
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${SMOLLM3_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  target_link_options(smollm3_options INTERFACE -fsanitize=${SMOLLM3_SANITIZE})
endif()

if(SMOLLM3_FUZZ)
  target_compile_options(smollm3_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# smollm3_precompile(NAME LIBRARIES lib … HEADERS <header> …): headers that other targets take over, compiled once. Reading
# the standard library's takes a second for each source. Every source still includes what it uses.
function(smollm3_precompile name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES;HEADERS" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp CONTENT "// A library must have a source.\n")
  add_library(${name} STATIC ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE smollm3_options ${ARG_LIBRARIES})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()

set(standard_headers <algorithm> <array> <chrono> <cmath> <cstdint> <cstring> <functional> <map> <memory> <optional> <span>
  <string> <string_view> <utility> <variant> <vector>)
smollm3_precompile(smollm3_standard_headers HEADERS ${standard_headers})
if(SMOLLM3_TESTS)
  find_package(GTest REQUIRED)
  smollm3_precompile(smollm3_test_headers LIBRARIES GTest::gtest GTest::gmock
    HEADERS ${standard_headers} <random> <gmock/gmock.h> <gtest/gtest.h>)
endif()

# smollm3_library(NAME SOURCES a.cpp … DEPS lib … [OWN_HEADERS]): the static library of one layer. With OWN_HEADERS it
# precompiles headers of its own.
function(smollm3_library name)
  cmake_parse_arguments(ARG "OWN_HEADERS" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE smollm3_options)
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  if(NOT ARG_OWN_HEADERS)
    target_precompile_headers(${name} REUSE_FROM smollm3_standard_headers)
  endif()
endfunction()

# smollm3_memcheck(NAME program argument …): the CTest entry NAME_memcheck, which fails at any finding of valgrind's.
function(smollm3_memcheck name)
  find_program(SMOLLM3_VALGRIND valgrind REQUIRED)
  add_test(NAME ${name}_memcheck COMMAND ${SMOLLM3_VALGRIND} --quiet --error-exitcode=99 --leak-check=full
    --errors-for-leak-kinds=definite --suppressions=${PROJECT_SOURCE_DIR}/cmake/valgrind.supp ${ARGN})
  set_tests_properties(${name}_memcheck PROPERTIES LABELS full TIMEOUT 3600 ENVIRONMENT SMOLLM3_CPU=scalar)
endfunction()

# smollm3_test(NAME SOURCES a_test.cpp … DEPS lib … [ENVIRONMENT A=B …] [MEMCHECK filter]): a GoogleTest program and its
# CTest entry. With SMOLLM3_MEMCHECK the tests that the filter names are run under valgrind too, with the scalar kernels.
function(smollm3_test name)
  cmake_parse_arguments(ARG "" "MEMCHECK" "SOURCES;DEPS;ENVIRONMENT" ${ARGN})
  if(NOT SMOLLM3_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} smollm3_options GTest::gtest GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM smollm3_test_headers)
  target_compile_definitions(${name} PRIVATE SMOLLM3_SOURCE_DIR="${PROJECT_SOURCE_DIR}" SMOLLM3_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(ARG_ENVIRONMENT)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "${ARG_ENVIRONMENT}")
  endif()
  if(SMOLLM3_MEMCHECK AND ARG_MEMCHECK)
    smollm3_memcheck(${name} $<TARGET_FILE:${name}> --gtest_filter=${ARG_MEMCHECK})
  endif()
endfunction()
