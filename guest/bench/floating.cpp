// SPDX-License-Identifier: Apache-2.0
// Double-precision rows. Their checksums are bits of the result: an engine whose arithmetic is not IEEE 754's
// to the last bit shows.
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "row.h"

namespace cloister::bench {
namespace {

struct Body {
  double place[3];
  double speed[3];
  double mass;
};

void attract(Body& a, Body& b, double step) {
  double away[3], square = 0.01;
  for (int axis = 0; axis < 3; ++axis) {
    away[axis] = a.place[axis] - b.place[axis];
    square += away[axis] * away[axis];
  }
  const double pull = step / (square * std::sqrt(square));
  for (int axis = 0; axis < 3; ++axis) {
    a.speed[axis] -= away[axis] * b.mass * pull;
    b.speed[axis] += away[axis] * a.mass * pull;
  }
}

int escape_time(double x0, double y0, int limit) {
  double x = 0, y = 0;
  int steps = 0;
  while (steps < limit && x * x + y * y <= 4.0) {
    const double next = x * x - y * y + x0;
    y = 2.0 * x * y + y0;
    x = next;
    ++steps;
  }
  return steps;
}

}  // namespace

u64 nbody(Scale scale) {
  std::array<Body, 5> bodies{};
  for (unsigned i = 0; i < bodies.size(); ++i) {
    const double n = i + 1.0;
    bodies[i] = {{n, 0.5 * n * n, 1.0 / n}, {0.1 * n, -0.2 / n, 0.05 * n}, 10.0 / n};
  }
  for (u64 round = scale.of(700'000); round != 0; --round) {
    for (unsigned i = 0; i < bodies.size(); ++i)
      for (unsigned j = i + 1; j < bodies.size(); ++j) attract(bodies[i], bodies[j], 0.0001);
    for (Body& body : bodies)
      for (int axis = 0; axis < 3; ++axis) body.place[axis] += 0.0001 * body.speed[axis];
  }
  return std::bit_cast<u64>(bodies[0].place[0]);
}

u64 matrix_product(Scale scale) {
  constexpr unsigned kSide = 160;
  std::vector<double> a(kSide * kSide), b(kSide * kSide), c(kSide * kSide);
  for (unsigned i = 0; i < a.size(); ++i) a[i] = i % 17 * 0.25, b[i] = i % 13 * 0.5;
  for (u64 round = scale.of(16); round != 0; --round)
    for (unsigned i = 0; i < kSide; ++i)
      for (unsigned k = 0; k < kSide; ++k)
        for (unsigned j = 0; j < kSide; ++j) c[i * kSide + j] += a[i * kSide + k] * b[k * kSide + j];
  double sum = 0;
  for (const double value : c) sum += value;
  return std::bit_cast<u64>(sum);
}

u64 mandelbrot(Scale scale) {
  u64 sum = 0;
  const u64 rows = scale.of(360);
  for (u64 row = 0; row < rows; ++row)
    for (int column = 0; column < 256; ++column)
      sum += static_cast<u64>(
          escape_time(-2.0 + column * (3.0 / 256.0), -1.2 + 2.4 / 360.0 * static_cast<double>(row), 500));
  return sum;
}

}  // namespace cloister::bench
