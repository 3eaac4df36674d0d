#include "launcher.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const uint32_t initial[8] = {
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
};

static const uint8_t order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

/* Which words of the state each of the eight mixings of a round is of. */
static const uint8_t mixed[8][4] = {
    {0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
    {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14},
};

static uint32_t turned(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static void mix(uint32_t v[16], const uint8_t of[4], uint32_t x, uint32_t y)
{
    uint32_t *a = &v[of[0]], *b = &v[of[1]], *c = &v[of[2]], *d = &v[of[3]];
    *a += *b + x;
    *d = turned(*d ^ *a, 16);
    *c += *d;
    *b = turned(*b ^ *c, 12);
    *a += *b + y;
    *d = turned(*d ^ *a, 8);
    *c += *d;
    *b = turned(*b ^ *c, 7);
}

static void compress(uint32_t h[8], const uint8_t block[64], uint64_t done, int is_last)
{
    uint32_t v[16], m[16];
    for (int at = 0; at < 16; at++)
        m[at] = (uint32_t)block[4 * at] | (uint32_t)block[4 * at + 1] << 8
              | (uint32_t)block[4 * at + 2] << 16 | (uint32_t)block[4 * at + 3] << 24;
    memcpy(v, h, 32);
    memcpy(v + 8, initial, 32);
    v[12] ^= (uint32_t)done;
    v[13] ^= (uint32_t)(done >> 32);
    if (is_last)
        v[14] = ~v[14];
    for (int round = 0; round < 10; round++)
        for (int at = 0; at < 8; at++)
            mix(v, mixed[at], m[order[round][2 * at]], m[order[round][2 * at + 1]]);
    for (int at = 0; at < 8; at++)
        h[at] ^= v[at] ^ v[at + 8];
}

void blake2s(const void *data, size_t size, char digits[65])
{
    const uint8_t *from = data;
    uint8_t block[64] = {0};
    uint32_t h[8];
    uint64_t done = 0;
    memcpy(h, initial, sizeof h);
    h[0] ^= 0x01010020; /* no key, 32 bytes of digest */
    while (size - done > 64) {
        done += 64;
        compress(h, from + done - 64, done, 0);
    }
    memcpy(block, from + done, size - done);
    compress(h, block, size, 1);
    for (int at = 0; at < 32; at++)
        sprintf(digits + 2 * at, "%02x", (unsigned)(h[at / 4] >> 8 * (at % 4) & 0xFF));
}
