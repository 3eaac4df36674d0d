#ifndef TINYBLAS_H
#define TINYBLAS_H

#ifdef __cplusplus
extern "C" {
#endif

/* c += a * b, where a is m x k and b is k x n, by rows; either may be stored transposed. */
void tb_sgemm(int transpose_a, int transpose_b, int m, int n, int k,
              const float *a, const float *b, float *c);

#ifdef __cplusplus
}
#endif

#endif
