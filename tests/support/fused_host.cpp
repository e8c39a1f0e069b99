// A third shell for tests: the block of threads played by loops, in the order of the real ones.
#include <cmath>
#include <cstddef>
#include <vector>

#define QFID_INLINE static inline
#define QFID_EXP(x) std::exp(x)
#define QFID_LOG(x) std::log(x)
#define QFID_MAX(a, b) std::fmax(a, b)
#define QFID_MIN(a, b) ((a) < (b) ? (a) : (b))
#define QFID_WIDTH 8
#include "arithmetic.h"

template <int W>
static QfidState absorbed(int MODE, QfidState state, const float* p, const float* q, int column) {
  QfidVector<W> a, b;
  for (int i = 0; i < W; i++) {
    a.x[i] = p[column + i];
    b.x[i] = q[column + i];
  }
  if (MODE == 0) {
    state.p = qfid_absorb_row<W>(state.p, a, column);
    return state;
  }
  return qfid_absorb<W>(state, a, b, column);
}

extern "C" void fused_rows(
    int MODE, int count, int columns, int threads, int shift, const float* p, const float* q,
    const int* targets, const float* given_values, const int* given_tops, float* values,
    int* tops) {
  for (size_t row = 0; row < size_t(count); row++) {
    const float* p_row = p + row * columns;
    const float* q_row = q + row * columns;
    QfidState empty = qfid_empty(QFID_LOWEST, QFID_LOWEST);
    if (MODE == 1) {
      empty = qfid_empty(
          given_values[7 * row + 1], QFID_MAX(QFID_LOWEST, q_row[given_tops[2 * row]]));
    }
    std::vector<QfidState> states(threads, empty);
    const int head = QFID_MIN(shift, columns);
    const int vectors = (columns - head) / QFID_WIDTH;
    for (int i = 0; i < vectors; i++) {
      QfidState& own = states[i % threads];
      own = absorbed<QFID_WIDTH>(MODE, own, p_row, q_row, head + i * QFID_WIDTH);
    }
    for (int i = 0; i < columns - vectors * QFID_WIDTH; i++) {
      const int column = i < head ? i : i + vectors * QFID_WIDTH;
      states[i % threads] = absorbed<1>(MODE, states[i % threads], p_row, q_row, column);
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      for (int thread = 0; thread < threads; thread++) {
        if (thread % 32 < offset) {
          states[thread] = qfid_merge(states[thread], states[thread + offset]);
        }
      }
    }
    QfidState state = states[0];
    for (int warp = 1; warp < threads / 32; warp++) {
      state = qfid_merge(state, states[32 * warp]);
    }
    const int target = targets[row];
#include "finish.h"
  }
}
