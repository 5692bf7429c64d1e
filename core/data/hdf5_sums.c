/* Chunks that hold rows as they are in memory and a Fletcher32 sum, read past HDF5's filters: its
 * own sum takes one byte after the other, at a tenth of the speed. Not here: other layouts, types
 * and filters, which HDF5 reads (hdf5_rows.c). */
#include "hdf5_inner.h"
#include <stdlib.h>
#include <string.h>

typedef uint16_t words __attribute__((vector_size(16)));
typedef uint32_t lanes __attribute__((vector_size(32)));
enum { LANES = 8, STEPS = 256 }; /* steps: so many that no lane overflows */

/* 16 bits of the sum: 0 stands for zeros alone, and 65535 for its other multiples. */
static uint32_t half(uint64_t sum, bool any) {
    return any && sum % 65535 == 0 ? 65535 : (uint32_t)(sum % 65535);
}

/* The sum of HDF5's filter, over words of two bytes, of which the first is the high one. They are
 * added as they lie in memory: swapping the bytes of a word multiplies it by 256, modulo 65535. */
static uint32_t fletcher32(const unsigned char *at, size_t n) {
    size_t left = n / 2;
    uint64_t plain = 0, running = 0; /* the sum of words, and of all the sums on the way */
    bool any = false;
    while (left) {
        const size_t steps = left / LANES < STEPS ? left / LANES : STEPS;
        const size_t count = steps ? steps * LANES : left;
        uint64_t sum = 0, weighted = 0; /* weighted: the last word counts once */
        if (steps) {
            lanes a = {0}, b = {0};
            for (size_t t = 0; t < steps; t++) {
                words w;
                memcpy(&w, at + t * sizeof w, sizeof w);
                a += __builtin_convertvector(w, lanes);
                b += a;
            }
            for (unsigned l = 0; l < LANES; l++) {
                sum += a[l];
                weighted += (uint64_t)LANES * b[l] - (uint64_t)l * a[l];
            }
        } else {
            for (size_t i = 0; i < count; i++) {
                uint16_t w;
                memcpy(&w, at + 2 * i, 2);
                sum += w;
                weighted += sum;
            }
        }
        any = any || sum;
        running = (running + count * plain + weighted) % 65535;
        plain = (plain + sum) % 65535;
        at += 2 * count;
        left -= count;
    }
    plain *= 256;
    running *= 256;
    if (n % 2) { /* a word whose low byte is 0 */
        any = any || *at;
        plain += (uint64_t)*at << 8;
        running += plain;
    }
    return half(running, any) << 16 | half(plain, any);
}

/* Whether chunks hold whole rows of the type in memory, and their sum besides; bytes and rows of
 * one. */
static bool is_plain(hid_t dataset, hid_t memory_type, int ndim, const int64_t *shape,
                     int64_t *rows, size_t *bytes) {
    hid_t dcpl = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    hsize_t chunk[H5S_MAX_RANK];
    size_t n = 0;
    bool plain = H5Tequal(type, memory_type) > 0 && H5Pget_layout(dcpl) == H5D_CHUNKED &&
                 H5Pget_nfilters(dcpl) == 1 &&
                 H5Pget_filter2(dcpl, 0, NULL, &n, NULL, 0, NULL, NULL) == H5Z_FILTER_FLETCHER32 &&
                 H5Pget_chunk(dcpl, H5S_MAX_RANK, chunk) == ndim;
    *bytes = plain ? H5Tget_size(type) : 0;
    for (int i = 0; plain && i < ndim; i++) {
        plain = (i == 0 || chunk[i] == (hsize_t)shape[i]) &&
                !__builtin_mul_overflow(*bytes, chunk[i], bytes);
    }
    *rows = plain ? (int64_t)chunk[0] : 0;
    H5Tclose(type);
    H5Pclose(dcpl);
    return plain && *bytes < (size_t)1 << 31;
}

/* The stored bytes of one chunk into `room` (bytes + 4 for the sum). false: HDF5 is to read it, as
 * it may be one that was never written, or be damaged. */
static bool read_chunk(hid_t dataset, int ndim, hsize_t first, unsigned char *room, size_t bytes) {
    hsize_t offset[H5S_MAX_RANK] = {first}, stored = 0;
    uint32_t left_out = 0;
    const unsigned char *sum = room + bytes;
    return ndim > 0 && H5Dget_chunk_storage_size(dataset, offset, &stored) >= 0 &&
           stored == bytes + 4 &&
           H5Dread_chunk(dataset, H5P_DEFAULT, offset, &left_out, room) >= 0 && left_out == 0 &&
           fletcher32(room, bytes) == ((uint32_t)sum[0] | (uint32_t)sum[1] << 8 |
                                       (uint32_t)sum[2] << 16 | (uint32_t)sum[3] << 24);
}

bool mien__h5_read_plain(hid_t dataset, hid_t memory_type, int ndim, const int64_t *shape,
                         int64_t first, int64_t count, void *buffer) {
    int64_t rows;
    size_t bytes;
    if (ndim < 1 || !is_plain(dataset, memory_type, ndim, shape, &rows, &bytes)) return false;
    const size_t row = bytes / (size_t)rows;
    unsigned char *room = malloc(bytes + 4);
    bool good = room != NULL;
    while (good && count > 0) {
        const int64_t within = first % rows, here = rows - within < count ? rows - within : count;
        good = read_chunk(dataset, ndim, (hsize_t)(first - within), room, bytes);
        if (good) memcpy(buffer, room + (size_t)within * row, (size_t)here * row);
        buffer = (char *)buffer + (size_t)here * row;
        first += here;
        count -= here;
    }
    free(room);
    H5Eclear2(H5E_DEFAULT);
    return good;
}
