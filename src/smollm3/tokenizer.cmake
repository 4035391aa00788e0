smollm3_library(smollm3_tokenizer
  SOURCES tokenizer.cpp tokenizer_merges.cpp tokenizer_specials.cpp tokenizer_vocabulary.cpp tokenizer_words.cpp
    unicode.cpp unicode_tables.cpp
  DEPS smollm3_base smollm3_gguf)
smollm3_test(tokenizer_test
  SOURCES tokenizer_test.cpp tokenizer_merges_test.cpp tokenizer_specials_test.cpp tokenizer_words_test.cpp
    unicode_test.cpp
  DEPS smollm3_tokenizer)
