smollm3_library(smollm3_tokenizer
  SOURCES tokenizer.cpp tokenizer_merges.cpp tokenizer_specials.cpp tokenizer_vocabulary.cpp tokenizer_words.cpp
    unicode.cpp unicode_tables.cpp
  DEPS smollm3_base smollm3_gguf)
smollm3_test(tokenizer_test
  SOURCES tokenizer_test.cpp tokenizer_merges_test.cpp tokenizer_specials_test.cpp tokenizer_words_test.cpp
    unicode_test.cpp
  DEPS smollm3_tokenizer
  MEMCHECK *)
if(SMOLLM3_TESTS AND SMOLLM3_SANITIZE)
  # GCC 12 warns within its own <regex> when that is instrumented.
  set_source_files_properties(tokenizer_words_test.cpp PROPERTIES COMPILE_OPTIONS -Wno-maybe-uninitialized SKIP_PRECOMPILE_HEADERS ON)
endif()
