// SPDX-License-Identifier: Apache-2.0
#include "tidy/functions.h"

#include <cctype>
#include <regex>
#include <string_view>

// Finding functions without a parser.
//
// Text is first freed of all that may hold a stray brace. Then braces are matched, and what an opening
// brace begins is told from the words since the last statement ended: `namespace x`, `class Y : Z` and
// `extern ""` begin a scope in which functions may stand; what ends like a function's header (in a
// parenthesis, `const`, `noexcept`, a trailing type) begins a function; `=` begins a table; the rest is an
// initializer. That the tree is formatted helps: a body's brace has a space before it, a member's
// initializer has none.
namespace cloister::tidy {
namespace {

class Blanker {
 public:
  std::vector<std::string> run(const std::vector<std::string>& lines) {
    std::vector<std::string> result;
    for (const std::string& line : lines) result.push_back(blank_line(line));
    return result;
  }

 private:
  enum class Inside { kCode, kComment, kRawString, kDirective };

  std::string blank_line(const std::string& line) {
    if (inside_ == Inside::kCode && is_directive(line)) inside_ = Inside::kDirective;
    if (inside_ == Inside::kDirective) {
      if (!line.ends_with('\\')) inside_ = Inside::kCode;
      return {};
    }
    line_ = line;
    at_ = 0;
    std::string result;
    while (at_ < line_.size()) step(result);
    return result;
  }

  static bool is_directive(const std::string& line) {
    const std::size_t first = line.find_first_not_of(" \t");
    return first != std::string::npos && line[first] == '#';
  }

  void step(std::string& result) {
    switch (inside_) {
      case Inside::kComment:
        return skip_to("*/");
      case Inside::kRawString:
        return skip_to(raw_end_);
      default:
        return step_code(result);
    }
  }

  void skip_to(std::string_view end) {
    const std::size_t found = line_.find(end, at_);
    if (found == std::string_view::npos) {
      at_ = line_.size();
    } else {
      at_ = found + end.size();
      inside_ = Inside::kCode;
    }
  }

  void step_code(std::string& result) {
    const std::string_view rest = line_.substr(at_);
    if (rest.starts_with("//")) {
      at_ = line_.size();
    } else if (rest.starts_with("/*")) {
      at_ += 2;
      inside_ = Inside::kComment;
    } else if (rest.starts_with("R\"")) {
      result += "\"\"";
      begin_raw_string(rest);
    } else if (rest[0] == '"' || (rest[0] == '\'' && !is_digit_separator())) {
      result += std::string(2, rest[0]);
      skip_literal(rest[0]);
    } else {
      result += rest[0];
      ++at_;
    }
  }

  // 1'000'000, 0xffff'0000
  bool is_digit_separator() const {
    return at_ > 0 && std::isxdigit(static_cast<unsigned char>(line_[at_ - 1])) != 0;
  }

  void begin_raw_string(std::string_view rest) {
    const std::size_t open = rest.find('(');
    raw_end_ = ")" + std::string(rest.substr(2, open - 2)) + "\"";
    at_ += open + 1;
    inside_ = Inside::kRawString;
  }

  void skip_literal(char quote) {
    for (++at_; at_ < line_.size() && line_[at_] != quote; ++at_) {
      if (line_[at_] == '\\') ++at_;
    }
    ++at_;
  }

  Inside inside_ = Inside::kCode;
  std::string raw_end_;
  std::string_view line_;
  std::size_t at_ = 0;
};

class Scanner {
 public:
  std::vector<Function> run(const std::vector<std::string>& lines) {
    for (line_ = 1; line_ <= lines.size(); ++line_) {
      for (const char letter : lines[line_ - 1]) take(letter);
      if (!header_.empty()) header_ += ' ';
    }
    return std::move(found_);
  }

 private:
  enum class Brace { kScope, kFunction, kTable, kInner };

  void take(char letter) {
    if (letter == '{') return open();
    if (letter == '}') return close();
    if (parentheses_ == 0 && (letter == ';' || (letter == ',' && is_in_table()))) return forget_header();
    if (letter == '(') ++parentheses_;
    if (letter == ')' && parentheses_ > 0) --parentheses_;
    if (header_.empty() && std::isspace(static_cast<unsigned char>(letter)) != 0) return;
    if (header_.empty()) header_line_ = line_;
    header_ += letter;
    if (letter == ':' && is_access_label()) forget_header();
  }

  bool is_access_label() const {
    return header_ == "public:" || header_ == "private:" || header_ == "protected:";
  }

  void open() {
    const Brace kind = in_function_ || parentheses_ > 0 ? Brace::kInner : kind_of_header();
    if (kind == Brace::kFunction) {
      in_function_ = true;
      found_.push_back({trimmed(header_), header_line_, 0});
    }
    braces_.push_back(kind);
    // An initializer within a header (`: a_(1), b_{2} {`) leaves the header standing, and reads as a
    // parenthesis.
    if (kind != Brace::kInner) return forget_header();
    header_ += '(';
  }

  void close() {
    if (braces_.empty()) return;
    const Brace kind = braces_.back();
    braces_.pop_back();
    if (kind == Brace::kFunction) {
      in_function_ = false;
      found_.back().length = line_ - found_.back().line + 1;
    }
    if (kind != Brace::kInner) return forget_header();
    header_ += ')';
  }

  bool is_in_table() const { return !braces_.empty() && braces_.back() == Brace::kTable; }

  Brace kind_of_header() const {
    static const std::regex kScopeWord(R"(^(inline )?(namespace|extern "")|\b(class|struct|union|enum)\b)");
    static const std::regex kFunctionEnd(
        R"(\)( const| noexcept(\(.*\))?| override| final| mutable| &&?| try| requires .*| ?-> .*| [A-Z_]+\(.*\))*$)");
    static const std::regex kTemplate(R"(^template <.*?> )");
    const std::string header = std::regex_replace(trimmed(header_), kTemplate, "");
    if (header.ends_with('=') || (header.empty() && is_in_table())) return Brace::kTable;
    if (!header_.ends_with(' ')) return header.empty() ? Brace::kScope : Brace::kInner;
    if (std::regex_search(header, kFunctionEnd)) return Brace::kFunction;
    return std::regex_search(header, kScopeWord) ? Brace::kScope : Brace::kInner;
  }

  static std::string trimmed(const std::string& text) {
    const std::size_t last = text.find_last_not_of(' ');
    return last == std::string::npos ? "" : text.substr(0, last + 1);
  }

  void forget_header() {
    header_.clear();
    parentheses_ = 0;
  }

  std::vector<Function> found_;
  std::vector<Brace> braces_;
  std::string header_;
  std::size_t header_line_ = 0;
  std::size_t line_ = 0;
  int parentheses_ = 0;
  bool in_function_ = false;
};

}  // namespace

std::vector<std::string> without_comments_and_literals(const std::vector<std::string>& lines) {
  return Blanker().run(lines);
}

std::vector<Function> find_functions(const std::vector<std::string>& lines) {
  return Scanner().run(without_comments_and_literals(lines));
}

}  // namespace cloister::tidy
