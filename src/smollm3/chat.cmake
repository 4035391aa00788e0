# Messages to the text of a prompt, and a model's text back to thinking, answer and tool calls.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/default_template.jinja)
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/default_template.jinja DEFAULT_TEMPLATE)
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/default_template.cpp.in ${CMAKE_CURRENT_BINARY_DIR}/default_template.cpp @ONLY)

smollm3_library(smollm3_chat
  SOURCES chat.cpp chat_messages.cpp chat_output.cpp ${CMAKE_CURRENT_BINARY_DIR}/default_template.cpp
  DEPS smollm3_jinja smollm3_gguf)
smollm3_test(chat_test SOURCES chat_test.cpp chat_output_test.cpp DEPS smollm3_chat MEMCHECK *)
