/* libFuzzer: bytes that are unpacked, and zip files. The first byte says as what.
 * Not here: what is read from them in Lua (weights.lua). */
#include "data/bytes.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    int kind = data[0] % 6;
    if (kind < 4) {
        mien_bytes_close(mien__bytes_unpacked(data + 2, (int64_t)size - 2, (mien_packing)kind,
                                              data[1] == 255 ? -1 : data[1] * 7, "fuzz"));
        return 0;
    }
    const char *path = fuzz_file(data + 1, size - 1);
    mien_zip *zip = mien_zip_open(path);
    for (int64_t i = 0; zip && i < mien_zip_count(zip) && i < 16; i++) {
        if (!mien_zip_name(zip, i)) abort();
        mien_bytes *part = mien_zip_read(zip, i);
        if (!part) continue;
        if (mien_bytes_size(part) != mien_zip_size(zip, i)) abort();
        int64_t shape[2] = {data[1] % 8, data[0] % 8}, stride[2] = {data[1] % 3, data[0] % 5};
        mien_tensor_release(mien_bytes_tensor(part, data[1], data[0] & 1, (mien_dtype)(data[1] % 8),
                                              2, shape, stride));
        mien_bytes_close(part);
    }
    mien_zip_close(zip);
    return 0;
}
