// classify: the classes of images.
//
// Exit codes: 0 done, 2 wrong input.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "dmformer/classifier.hpp"
#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace {

using namespace dmformer;

constexpr std::size_t kTogether = 32;
constexpr const char* kUsage =
    "usage: classify [--top-k K] [--list FILE] [--project DIR] [--threads N] [IMAGE...]\n\n"
    "Prints the most likely classes of JPEG and PNG images. --list names a file with one path on each line, and gives\n"
    "one line for each: index of the class, probability, path. --project names the folder with engine/, which otherwise is\n"
    "beside this program.\n";

struct Options {
  std::string project;
  std::string list;
  int threads = 0;
  int top = 5;
  bool help = false;
  std::vector<std::string> images;
};

Options parse(int count, char** arguments) {
  Options options;
  options.project = folder_of(arguments[0]);
  for (int index = 1; index < count; ++index) {
    const std::string word = arguments[index];
    if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (word.rfind("--", 0) != 0) {
      options.images.push_back(word);
    } else if (index + 1 == count) {
      throw std::runtime_error(word + ": is no option, or has no value (see --help)");
    } else if (const std::string value = arguments[++index]; word == "--top-k") {
      options.top = number_of(word, value, 1);
    } else if (word == "--threads") {
      options.threads = number_of(word, value, 0);
    } else if (word == "--project") {
      options.project = value;
    } else if (word == "--list") {
      options.list = value;
    } else {
      throw std::runtime_error(word + ": is no option (see --help)");
    }
  }
  return options;
}

std::vector<std::string> listed(const std::string& path) {
  std::ifstream file(path);
  if (!file.is_open()) throw std::runtime_error(path + ": cannot be read");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

void show_classes(Classifier& classifier, const std::string& path, int top) {
  const auto guesses = classifier.predict(load_image(path), top);
  std::printf("%s\n", path.c_str());
  for (const Guess& guess : guesses) std::printf("  %6.2f%%  %s\n", 100 * guess.probability, guess.label.c_str());
}

// Few together: an engine with an open batch is faster so, and memory does not grow with the list.
void show_list(Classifier& classifier, const std::vector<std::string>& paths) {
  for (std::size_t start = 0; start < paths.size(); start += kTogether) {
    std::vector<parameters::Input> images;
    const std::size_t end = std::min(start + kTogether, paths.size());
    for (std::size_t index = start; index < end; ++index) {
      const auto image = preprocess<parameters::Input>(load_image(paths[index]), parameters::preprocessing());
      images.insert(images.end(), image.begin(), image.end());
    }
    const auto logits = classifier.logits(images);
    for (std::size_t index = start; index < end; ++index) {
      const auto guess = best(logits.data() + (index - start) * parameters::kClasses, parameters::kClasses, 1).front();
      std::printf("%d\t%.6f\t%s\n", guess.index, guess.probability, paths[index].c_str());
    }
  }
}

int run(const Options& options) {
  const auto paths = options.list.empty() ? std::vector<std::string>{} : listed(options.list);
  if (paths.empty() && options.images.empty()) throw std::runtime_error("no image was named (see --help)");
  Classifier classifier(options.project + "/engine", options.threads);
  for (const auto& path : options.images) show_classes(classifier, path, options.top);
  show_list(classifier, paths);
  return 0;
}

}  // namespace

int main(int count, char** arguments) { return program(count, arguments, kUsage, parse, run); }
