#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"

namespace trainyard::trainctl {
namespace {

// What can follow a command.
struct Words {
  std::string name;
  std::string summary;
  std::vector<std::string> subcommands;
  std::vector<const CLI::Option*> options;  // with long names
};

void AddOptions(const CLI::App& app, Words* words) {
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option*) { return true; })) {
    // --help is among the options of the whole.
    const bool help =
        app.get_parent() != nullptr && option->check_name("--help");
    if (!option->get_lnames().empty() && !help) {
      words->options.push_back(option);
    }
  }
}

std::vector<const CLI::App*> Subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

// From the command line itself, so that it cannot miss a flag.
Words WordsOf(const CLI::App& app) {
  Words words{app.get_name(), app.get_description(), {}, {}};
  AddOptions(app, &words);
  for (const CLI::App* below : Subcommands(app)) {
    words.subcommands.push_back(below->get_name());
    AddOptions(*below, &words);
  }
  return words;
}

std::string Long(const CLI::Option* option) {
  return "--" + option->get_lnames()[0];
}

std::string AllWords(const Words& words) {
  std::vector<std::string> all = words.subcommands;
  for (const CLI::Option* option : words.options) all.push_back(Long(option));
  return absl::StrJoin(all, " ");
}

// For the inside of single quotes.
std::string Quoted(const std::string& text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}});
}

struct Tree {
  std::vector<Words> commands;
  std::string global;  // options that every command takes
  std::string names;   // of commands, with '|' between them
};

Tree TreeOf(const CLI::App& app) {
  Tree tree;
  std::vector<std::string> names;
  for (const CLI::App* command : Subcommands(app)) {
    tree.commands.push_back(WordsOf(*command));
    names.push_back(command->get_name());
  }
  Words global;
  AddOptions(app, &global);
  tree.global = AllWords(global);
  tree.names = absl::StrJoin(names, "|");
  return tree;
}

std::string Bash(const Tree& tree) {
  std::string text = absl::StrCat(
      "# bash completion for trainctl: source <(trainctl completion bash)\n"
      "_trainctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} command='' words i\n"
      "  local previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      ",
      tree.names,
      ") command=${COMP_WORDS[i]}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words='",
      absl::StrReplaceAll(tree.names, {{"|", " "}}), " ", tree.global,
      "' ;;\n");
  for (const Words& words : tree.commands) {
    absl::StrAppend(&text, "    ", words.name, ") words='", AllWords(words),
                    " ", tree.global, "' ;;\n");
  }
  absl::StrAppend(&text,
                  "  esac\n"
                  "  [[ $command == completion ]] && words='bash zsh fish'\n"
                  "  [[ $previous == --output ]] && words='table json yaml'\n"
                  "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
                  "\"$current\")\n"
                  "}\n"
                  "complete -o default -F _trainctl trainctl\n");
  return text;
}

std::string Zsh(const Tree& tree) {
  std::string text =
      "#compdef trainctl\n"
      "# zsh completion for trainctl: trainctl completion zsh > "
      "\"${fpath[1]}/_trainctl\"\n"
      "_trainctl() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const Words& words : tree.commands) {
    absl::StrAppend(&text, "    '", words.name, ":", Quoted(words.summary),
                    "'\n");
  }
  absl::StrAppend(&text,
                  "  )\n"
                  "  local word command=\n"
                  "  for word in ${words[2,CURRENT-1]}; do\n"
                  "    case $word in\n"
                  "      ",
                  tree.names,
                  ") command=$word; break ;;\n"
                  "    esac\n"
                  "  done\n"
                  "  case $command in\n"
                  "    '') _describe command commands; compadd -- ",
                  tree.global, " ;;\n");
  for (const Words& words : tree.commands) {
    absl::StrAppend(&text, "    ", words.name, ") compadd -- ", AllWords(words),
                    " ", tree.global,
                    words.name == "completion" ? " bash zsh fish" : "",
                    "; _files ;;\n");
  }
  absl::StrAppend(&text,
                  "  esac\n"
                  "}\n"
                  "if [[ $funcstack[1] == _trainctl ]]; then\n"
                  "  _trainctl \"$@\"\n"
                  "else\n"
                  "  compdef _trainctl trainctl\n"
                  "fi\n");
  return text;
}

std::string Fish(const Tree& tree) {
  std::string text =
      "# fish completion for trainctl: trainctl completion fish | source\n";
  for (const Words& words : tree.commands) {
    absl::StrAppend(&text, "complete -c trainctl -n __fish_use_subcommand -a ",
                    words.name, " -d '", Quoted(words.summary), "'\n");
    const std::string condition =
        absl::StrCat("complete -c trainctl -n '__fish_seen_subcommand_from ",
                     words.name, "'");
    for (const std::string& below : words.subcommands) {
      absl::StrAppend(&text, condition, " -a ", below, "\n");
    }
    for (const CLI::Option* option : words.options) {
      absl::StrAppend(&text, condition, " -l ", option->get_lnames()[0],
                      option->get_items_expected_max() > 0 ? " -r" : "",
                      " -d '", Quoted(option->get_description()), "'\n");
    }
  }
  absl::StrAppend(&text,
                  "complete -c trainctl -n '__fish_seen_subcommand_from "
                  "completion' -f -a 'bash zsh fish'\n"
                  "complete -c trainctl -l server -r -d 'Server, host:port'\n"
                  "complete -c trainctl -l output -x -a 'table json yaml'\n");
  return text;
}

}  // namespace

CommandRun AddCompletion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  return [shell](Context& context) -> absl::StatusOr<ExitCode> {
    const Tree tree = TreeOf(context.app);
    *context.console.out << (*shell == "bash"  ? Bash(tree)
                             : *shell == "zsh" ? Zsh(tree)
                                               : Fish(tree));
    return kOk;
  };
}

}  // namespace trainyard::trainctl
