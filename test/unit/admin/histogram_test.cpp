#include "admin/histogram.hpp"

#include <doctest/doctest.h>

using bftmeta::admin::Histogram;

TEST_CASE("histogram: quantiles are within a 64th of the exact ones") {
  Histogram h;
  for (std::uint64_t us = 1; us <= 100'000; ++us) h.add(us);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = share * 100'000;
    CHECK(static_cast<double>(h.quantile(share)) >= exact);
    CHECK(static_cast<double>(h.quantile(share)) <= exact * 65 / 64 + 1);
  }
  CHECK(h.count() == 100'000);
}

TEST_CASE("histogram: small values are exact, huge ones are kept, sums add up") {
  Histogram a;
  CHECK(a.quantile(0.5) == 0);
  for (const std::uint64_t us : {0, 1, 127}) a.add(us);
  CHECK(a.quantile(0.0) == 0);
  CHECK(a.quantile(0.66) == 1);
  CHECK(a.quantile(1.0) == 127);
  Histogram b;
  b.add(~0ULL);
  a.add(b);
  CHECK(a.count() == 4);
  CHECK(a.quantile(1.0) > (1ULL << 35));
}
