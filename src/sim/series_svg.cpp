// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "sim/series.h"

// One panel for each guest, one under the other, with the same time axis: memory above, price below; a strip
// on top shows the host's state. Plain SVG without scripts or fonts of its own: any browser shows it, and it
// prints.
namespace cloister::sim {
namespace {

namespace pm = policy::memory;

constexpr double kWidth = 960, kLeft = 70, kRight = 20, kTop = 96;
constexpr double kPlot = kWidth - kLeft - kRight;
constexpr double kMemory = 110, kPrice = 36, kGap = 44;
constexpr double kPanel = kMemory + kPrice + kGap + 10;

struct Line {
  const char* name;
  const char* style;  // SVG attributes
  u64 (*value)(const Sample&);
};
constexpr std::array<Line, 4> kLines = {{
    {"held", R"(stroke="#1f5fbf" stroke-width="2")", [](const Sample& sample) { return sample.held.raw; }},
    {"target", R"(stroke="#1f5fbf" stroke-width="1" stroke-dasharray="4 3")",
     [](const Sample& sample) { return sample.target.raw; }},
    {"works with", R"(stroke="#2e8b3d" stroke-width="1.5")",
     [](const Sample& sample) { return sample.working.raw; }},
    {"estimate", R"(stroke="#d07a12" stroke-width="1.2")",
     [](const Sample& sample) { return sample.estimate.raw; }},
}};

const char* color_of(pm::HostState state) {
  constexpr const char* kColors[] = {"#d9ead3", "#fff2cc", "#f9cb9c", "#e06666"};
  return kColors[static_cast<std::size_t>(state)];
}

class Picture {
 public:
  explicit Picture(const Series& series) : series_(series) {}

  std::string draw(const std::string& title) {
    const double height = kTop + kPanel * static_cast<double>(series_.guests.size());
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:.0f} {:.0f}" font-family="sans-serif" font-size="12">)",
        kWidth, height);
    add("\n<!-- SPDX-License-Identifier: Apache-2.0 -->\n");
    add(R"(<rect width="100%" height="100%" fill="white"/>)");
    text(kLeft, 22, "start", escaped(title), "font-size=\"16\"");
    legend();
    states();
    double top = kTop;
    for (const GuestSeries& guest : series_.guests) {
      panel(guest, top);
      top += kPanel;
    }
    add("</svg>\n");
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  static std::string escaped(const std::string& plain) {
    std::string result;
    for (const char letter : plain) {
      if (letter == '<') {
        result += "&lt;";
      } else if (letter == '&') {
        result += "&amp;";
      } else {
        result += letter;
      }
    }
    return result;
  }

  void text(double x, double y, const char* anchor, std::string_view words, std::string_view more = "") {
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more, words);
  }

  double x_of(Nanos when) const {
    return kLeft + kPlot * static_cast<double>(when.raw) / static_cast<double>(series_.duration.raw);
  }

  void legend() {
    double x = kLeft;
    for (const Line& line : kLines) {
      add("<line x1=\"{:.0f}\" y1=\"42\" x2=\"{:.0f}\" y2=\"42\" {}/>\n", x, x + 26, line.style);
      text(x + 32, 46, "start", line.name);
      x += 130;
    }
    add("<line x1=\"{:.0f}\" y1=\"42\" x2=\"{:.0f}\" y2=\"42\" stroke=\"#8e44ad\" stroke-width=\"1.2\"/>\n",
        x, x + 26);
    text(x + 32, 46, "start", "price, shares a MiB");
  }

  void states() {
    const auto& samples = series_.host_samples;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      std::size_t last = i;
      while (last + 1 < samples.size() && samples[last + 1].state == samples[i].state) ++last;
      const Nanos end = last + 1 < samples.size() ? samples[last + 1].when : series_.duration;
      add("<rect x=\"{:.1f}\" y=\"58\" width=\"{:.1f}\" height=\"14\" fill=\"{}\"><title>{}</title></rect>\n",
          x_of(samples[i].when), x_of(end) - x_of(samples[i].when), color_of(samples[i].state),
          pm::name_of(samples[i].state));
      i = last;
    }
    text(kLeft - 6, 69, "end", "state");
    double x = kLeft + kPlot - 220;
    for (const pm::HostState state :
         {pm::HostState::kHigh, pm::HostState::kSoft, pm::HostState::kHard, pm::HostState::kLow}) {
      add("<rect x=\"{:.0f}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{}\"/>\n", x, color_of(state));
      text(x + 16, 22, "start", pm::name_of(state));
      x += 56;
    }
  }

  void panel(const GuestSeries& guest, double top) {
    const double bottom = top + kMemory;
    const double size = std::max(1.0, static_cast<double>(guest.size.raw));
    const auto y_of = [&](u64 pages) { return bottom - kMemory * static_cast<double>(pages) / size; };
    frame(top, kMemory);
    text(kLeft, top - 5, "start", escaped(guest.name), "font-weight=\"bold\"");
    text(kLeft - 6, top + 10, "end", fmt::format("{} MiB", guest.size.raw / 256));
    text(kLeft - 6, bottom, "end", "0");
    if (guest.min.raw > 0) {
      add("<line x1=\"{0:.0f}\" x2=\"{1:.0f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#999\" "
          "stroke-dasharray=\"1 3\"/>\n",
          kLeft, kLeft + kPlot, y_of(guest.min.raw));
      text(kLeft - 6, y_of(guest.min.raw) + 4, "end", "min");
    }
    for (const Line& line : kLines)
      path(guest, line.style, [&](const Sample& sample) { return y_of(line.value(sample)); });
    price(guest, bottom + 10);
  }

  void price(const GuestSeries& guest, double top) {
    u64 most = 1;
    for (const Sample& sample : guest.samples) most = std::max(most, sample.price);
    frame(top, kPrice);
    text(kLeft - 6, top + 10, "end", fmt::format("{}.{}", most / 1000, most % 1000 / 100));
    path(guest, R"(stroke="#8e44ad" stroke-width="1.2")", [&](const Sample& sample) {
      return top + kPrice - kPrice * static_cast<double>(sample.price) / static_cast<double>(most);
    });
    for (u64 i = 0; i <= 4; ++i) {
      const Nanos when{series_.duration.raw / 4 * i};
      text(x_of(when), top + kPrice + 14, i == 4 ? "end" : "middle", clock_time(when),
           "fill=\"#666\" font-size=\"10\"");
    }
  }

  void frame(double top, double height) {
    add("<rect x=\"{:.0f}\" y=\"{:.1f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"none\" "
        "stroke=\"#ccc\"/>\n",
        kLeft, top, kPlot, height);
  }

  // Interrupted where the guest did not run.
  template <typename Height>
  void path(const GuestSeries& guest, const char* style, Height y_of) {
    if (guest.samples.empty()) return;
    const Nanos gap{2 * interval().raw};
    add("<path fill=\"none\" {} d=\"", style);
    for (std::size_t i = 0; i < guest.samples.size(); ++i) {
      const Sample& sample = guest.samples[i];
      const bool begins = i == 0 || sample.when - guest.samples[i - 1].when >= gap;
      add("{}{:.1f} {:.1f}", begins ? 'M' : 'L', x_of(sample.when), y_of(sample));
    }
    add("\"/>\n");
  }

  Nanos interval() const {
    const auto& samples = series_.host_samples;
    return samples.size() < 2 ? series_.duration : samples[1].when - samples[0].when;
  }

  const Series& series_;
  std::string out_;
};

}  // namespace

std::string to_svg(const Series& series, const std::string& title) { return Picture(series).draw(title); }

}  // namespace cloister::sim
