smollm3_library(smollm3_model
  SOURCES config.cpp kv_cache.cpp kv_memory.cpp model.cpp rope.cpp weights.cpp
  DEPS smollm3_compute smollm3_gguf smollm3_quant)
smollm3_test(model_test SOURCES config_test.cpp kv_cache_test.cpp kv_memory_test.cpp weights_test.cpp DEPS smollm3_model MEMCHECK *)
