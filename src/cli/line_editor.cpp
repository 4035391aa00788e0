#include "cli/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "cli/output.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

constexpr int history_lines = 1000;

// Where the history is kept; empty if there is no place for it.
fs::path history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (state && fs::path(state).is_absolute())
    folder = fs::path(state) / "smollm3";
  else if (home && *home != '\0')
    folder = fs::path(home) / ".local" / "state" / "smollm3";
  else
    return {};
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? fs::path() : folder / "history";
}

// libedit takes a line's bytes apart by the locale; where that knows no UTF-8 (LANG=C), take one that does.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  fs::path path;
  std::string prompt;
  std::string typed;  // when Ctrl-C came
  bool interrupted = false;

  static State* of(EditLine* editor) {
    void* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return static_cast<State*>(state);
  }

  static char* show_prompt(EditLine* editor) { return of(editor)->prompt.data(); }

  static unsigned char on_interrupt(EditLine* editor, int) {
    State& state = *of(editor);
    const LineInfo* line = el_line(editor);
    state.typed.assign(line->buffer, line->lastchar);
    state.interrupted = true;
    return CC_EOF;
  }

  static unsigned char on_suspend(EditLine*, int) {
    kill(0, SIGTSTP);
    return CC_REFRESH;
  }
};

LineEditor::LineEditor() : state_(std::make_unique<State>()) {
  use_utf8();
  State& state = *state_;
  state.path = history_path();
  state.history = history_init();
  HistEvent event;
  history(state.history, &event, H_SETSIZE, history_lines);
  history(state.history, &event, H_SETUNIQUE, 1);
  if (!state.path.empty()) history(state.history, &event, H_LOAD, state.path.c_str());

  state.editor = el_init("smollm3", stdin, stdout, stderr);
  el_set(state.editor, EL_CLIENTDATA, &state);
  el_set(state.editor, EL_PROMPT_ESC, &State::show_prompt, '\1');
  el_set(state.editor, EL_EDITOR, "emacs");
  el_set(state.editor, EL_HIST, history, state.history);
  // While a line is edited Ctrl-C is a key like others, not a signal; and so, with it, is Ctrl-Z.
  el_set(state.editor, EL_SETTY, "-d", "-isig", nullptr);
  el_set(state.editor, EL_SIGNAL, 1);  // window sizes; and the terminal as it was while the program is stopped
  el_set(state.editor, EL_ADDFN, "clear-line", "Give the line up", &State::on_interrupt);
  el_set(state.editor, EL_ADDFN, "suspend", "Stop the program for a while", &State::on_suspend);
  el_set(state.editor, EL_BIND, "^C", "clear-line", nullptr);
  el_set(state.editor, EL_BIND, "^Z", "suspend", nullptr);
  el_set(state.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(state.editor, EL_BIND, "^W", "ed-delete-prev-word", nullptr);
  el_set(state.editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_set(state.editor, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(state.editor, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_source(state.editor, nullptr);
}

LineEditor::~LineEditor() {
  el_end(state_->editor);
  history_end(state_->history);
}

TypedLine LineEditor::read(const std::string& prompt) {
  State& state = *state_;
  state.prompt = prompt;
  state.interrupted = false;
  el_set(state.editor, EL_PREP_TERM, 1);  // before the prompt invites keys that only then mean what they shall
  int length = 0;
  const char* line = el_gets(state.editor, &length);
  if (state.interrupted) {
    write_error("^C\n");
    el_reset(state.editor);
    return {TypedLine::Kind::Interrupted, state.typed};
  }
  if (line == nullptr || length <= 0) return {TypedLine::Kind::End, ""};
  std::string text(line, static_cast<std::size_t>(length));
  if (text.ends_with('\n')) text.pop_back();
  return {TypedLine::Kind::Text, std::move(text)};
}

void LineEditor::remember(const std::string& line) {
  State& state = *state_;
  HistEvent event;
  history(state.history, &event, H_ENTER, line.c_str());
  if (state.path.empty()) return;
  // Made for the user's eyes only before anything is in it.
  const int descriptor = ::open(state.path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  fchmod(descriptor, 0600);
  close(descriptor);
  history(state.history, &event, H_SAVE, state.path.c_str());
}

}  // namespace cli
