// A third shell for tests: the quantizer's arithmetic on the host, group by group.
#include <cmath>
#include <cstddef>

#define QFID_INLINE static inline
#define QFID_MAX(a, b) std::fmax(a, b)
#define QFID_MIN(a, b) std::fmin(a, b)
#define QFID_ABS(x) std::fabs(x)
#define QFID_ROUND(x) std::round(x)
#define QFID_FMA(a, b, c) std::fma(a, b, c)
#define QFID_MUL(a, b) ((a) * (b))
#define QFID_ADD(a, b) ((a) + (b))
#include "affine.h"

extern "C" int affine_groups(
    int rounding, size_t groups, size_t group, float levels, const float* x, float* out) {
  bool finite = true;
  for (size_t at = 0; at < groups; at++, x += group, out += group) {
    float low = 3.402823466e38f;
    float high = 0.0f;
    for (size_t i = 0; i < group; i++) {
      low = QFID_MIN(low, x[i]);
      high = QFID_MAX(high, x[i]);
      finite = finite && qfid_is_finite(x[i]);
    }
    QfidAffine affine = qfid_affine(low, high, levels);
    for (size_t i = 0; i < group; i++) {
      out[i] = qfid_restored<float>(qfid_code(x[i], affine, levels), affine, rounding);
    }
  }
  return finite;
}
