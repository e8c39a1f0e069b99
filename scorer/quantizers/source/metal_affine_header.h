// What the quantizer needs of Metal: some lanes of a SIMD group for each group of elements.

#define QFID_INLINE inline
#define QFID_MAX(a, b) metal::max(a, b)
#define QFID_MIN(a, b) metal::min(a, b)
#define QFID_ABS(x) metal::abs(x)
#define QFID_ROUND(x) metal::round(x)
#define QFID_FMA(a, b, c) metal::fma(a, b, c)
#define QFID_MUL(a, b) ((a) * (b))
#define QFID_ADD(a, b) ((a) + (b))

// ARITHMETIC
