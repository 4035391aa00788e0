#include "cli/serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/answer.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/local_listener.h"
#include "cli/output.h"
#include "server/server.h"
#include "store/store.h"

namespace cli {
namespace {

struct Options {
  std::string host = "127.0.0.1";
  std::uint32_t port = 3000;
  std::uint32_t step_ms = 250;
  std::vector<std::string> names;
  std::string system_file;
  std::string data;
  bool insecure = false;
  bool no_resume = false;
  bool no_titles = false;
  std::uint32_t grace = 3;
};

std::string read_system_prompt(const std::string& path) {
  if (path.empty()) return {};
  std::string text = without_last_breaks(read_file(path));
  require_utf8(path, text);
  return text;
}

// What whoever starts it should know about who can come.
std::string about_access(const Options& options, const server::Server& server, const std::string& place) {
  if (options.insecure) {
    return "insecure: whoever reaches this server reads and writes the conversations of this machine's own user\n";
  }
  if (!server.needs_accounts() || store::Database(place).accounts().has_any()) return {};
  return "nobody can sign in yet; add an account: smollm3 user add NAME" +
         (options.data.empty() ? "" : " --data " + printable(options.data)) + "\n";
}

int serve(const Options& options, const Globals& globals) {
  const std::chrono::milliseconds step(options.step_ms);
  const std::string system = read_system_prompt(options.system_file);
  const std::string place = data_place(options.data);
  store::Store store(place);
  LocalListener listener(socket_of(place));  // those who come wait until the model is loaded
  server::EngineSlot engines(
      [&globals, step, system] { return load_engine(globals, {.step = step, .system = system}); });
  const auto model = engines.facts();
  server::Server server(engines, store,
                        {.host = options.host,
                         .port = static_cast<std::uint16_t>(options.port),
                         .names = options.names,
                         .insecure = options.insecure,
                         .resume = !options.no_resume,
                         .titles = !options.no_titles,
                         .grace = std::chrono::seconds(options.grace),
                         .local_socket = listener.release()});
  Output& out = standard_output();
  out.write(fmt::format("{} is at {}\n", printable(model->name), server.url()));
  out.flush();
  if (!globals.quiet) {
    write_error(dim(STDERR_FILENO,
                    fmt::format("{}, {} threads, {}, {} positions; the API is at {}/v1; Ctrl-C stops", model->device,
                                model->threads, model->mode, grouped(model->context), server.url())) +
                "\n" + about_access(options, server, place));
  }
  server.run();
  return 0;
}

}  // namespace

void add_serve(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Talking", "serve", "Serve the chat to browsers, and the HTTP API",
                             [options, &globals] { return serve(*options, globals); });
  command.option("--host", "ADDRESS", "Where to listen (default: 127.0.0.1, this machine alone)", options->host);
  command.option("--port", "PORT", "Default: 3000; 0 takes any that is free", options->port).between(0, 65535);
  command.option("--name", "NAME", "A further name the server is called by, as behind a proxy; may be repeated",
                 options->names);
  command.option("--data", "DIR|URL",
                 "Where conversations are kept, a folder or postgresql://… (default: $XDG_DATA_HOME/smollm3)",
                 options->data);
  command.flag("--insecure", "Ask nobody who he is, wherever it listens: all who reach it are this machine's own user",
               options->insecure);
  command.flag("--no-resume", "Do not go on with answers that were interrupted when the last server ended",
               options->no_resume);
  command.flag("--no-titles", "Leave conversations the titles that they begin with", options->no_titles);
  command
      .option(
          "--grace", "SECONDS",
          "That answers under way have to end when the server is to stop; what is left of the chat's goes on when it "
          "starts again (default: 3)",
          options->grace)
      .between(0, 3600);
  command.option("--system", "FILE",
                 "A system prompt for conversations that bring none; it is read once for all of them",
                 options->system_file);
  command
      .option("--step-ms", "N",
              "Milliseconds that a step may take while answers are written: less is smoother for them, and slower for "
              "prompts that are read beside them (default: 250)",
              options->step_ms)
      .between(1, 60'000);
  command.notes(
      "The chat is at /, the API in OpenAI's form at /v1, and /health tells how the server is.\n"
      "\n"
      "Where others than this machine's users can come (--host of another address, --name, behind a proxy),\n"
      "people sign in, and programs show an API key: see user and key.\n"
      "\n"
      "Examples:\n"
      "  smollm3 serve\n"
      "  smollm3 --model SmolLM3-3B-Q4_K_M.gguf --ctx 8192 serve --port 8080\n"
      "  curl http://127.0.0.1:3000/v1/chat/completions \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}'");
}

}  // namespace cli
