# smollm3_embed(TARGET FILE path SYMBOL name): puts a file into a program's read-only data, on a cache line of its own.
# C++ sees it as
#   extern "C" const std::byte name[];      // the first byte
#   extern "C" const std::byte name_end[];  // the byte after the last
function(smollm3_embed target)
  cmake_parse_arguments(ARG "" "FILE;SYMBOL" "" ${ARGN})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${ARG_SYMBOL}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [=[
// Written by cmake/embed.cmake.
asm(R"(
  .section .rodata
  .balign 64
  .global @ARG_SYMBOL@
@ARG_SYMBOL@:
  .incbin "@ARG_FILE@"
  .global @ARG_SYMBOL@_end
@ARG_SYMBOL@_end:
  .byte 0
  .text
)");
]=])
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${ARG_FILE} SKIP_PRECOMPILE_HEADERS ON)
  target_sources(${target} PRIVATE ${source})
endfunction()
