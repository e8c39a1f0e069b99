// What the quantizer needs of CUDA: some lanes of a warp for each group.

#define QFID_INLINE __device__ __forceinline__
#define QFID_MAX(a, b) fmaxf(a, b)
#define QFID_MIN(a, b) fminf(a, b)
#define QFID_ABS(x) fabsf(x)
#define QFID_ROUND(x) roundf(x)
#define QFID_FMA(a, b, c) fmaf(a, b, c)
#define QFID_MUL(a, b) __fmul_rn(a, b)
#define QFID_ADD(a, b) __fadd_rn(a, b)

// ARITHMETIC
