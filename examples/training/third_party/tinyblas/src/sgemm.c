#include "tinyblas.h"

void tb_sgemm(int transpose_a, int transpose_b, int m, int n, int k,
              const float *a, const float *b, float *c) {
    for (int i = 0; i < m; i++)
        for (int p = 0; p < k; p++) {
            const float left = transpose_a ? a[p * m + i] : a[i * k + p];
            if (transpose_b)
                for (int j = 0; j < n; j++) c[i * n + j] += left * b[j * k + p];
            else
                for (int j = 0; j < n; j++) c[i * n + j] += left * b[p * n + j];
        }
}
