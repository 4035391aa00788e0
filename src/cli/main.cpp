// smollm3: reads the command line and runs one command. Every error ends here, as one line and an exit code.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <new>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/backup.h"
#include "cli/bench.h"
#include "cli/chat.h"
#include "cli/command_line.h"
#include "cli/export.h"
#include "cli/import.h"
#include "cli/inspect.h"
#include "cli/key.h"
#include "cli/logits.h"
#include "cli/output.h"
#include "cli/perplexity.h"
#include "cli/quantize.h"
#include "cli/run.h"
#include "cli/serve.h"
#include "cli/synth.h"
#include "cli/template.h"
#include "cli/tokenize.h"
#include "cli/user.h"

namespace {

// A file opened while standard output is closed would become it, and be written over.
void occupy_standard_descriptors() {
  for (int descriptor = 0; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) == -1) open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int run(int argc, const char* const* argv) {
  cli::CommandLine line;
  cli::add_serve(line);
  cli::add_chat(line);
  cli::add_run(line);
  cli::add_export(line);
  cli::add_import(line);
  cli::add_backup(line);
  cli::add_restore(line);
  cli::add_user(line);
  cli::add_key(line);
  cli::add_inspect(line);
  cli::add_quantize(line);
  cli::add_synth(line);
  cli::add_tokenize(line);
  cli::add_detokenize(line);
  cli::add_template(line);
  cli::add_bench(line);
  cli::add_logits(line);
  cli::add_perplexity(line);
  const int code = line.run(argc, argv);
  cli::standard_output().flush();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);  // writing tells instead
  base::report_vanished_pages();
  try {
    return run(argc, argv);
  } catch (const cli::BrokenPipe&) {
  } catch (const base::Error& error) {
    cli::report_error(error.what());
  } catch (const std::bad_alloc&) {
    cli::report_error("memory: there is not enough; close other programs, or ask for less with --kv-memory or --ctx");
  } catch (const std::exception& error) {
    cli::report_error(std::string("internal error: ") + error.what() + "; please report it");
  }
  return cli::exit_failed;
}
