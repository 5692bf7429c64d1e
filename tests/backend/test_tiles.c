/* Weights re-laid by own loops have the bits that oneDNN's reorders give, in both directions.
 * Not here: that weights are laid out anew when they change (test_cpu.c). */
#include "backend/cpu/onednn.h"
#include "tensor/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void must(int status) {
    assert_int_equal(status, 0);
}

/* n floats: any bits, so NaN, infinities, subnormals and ties of rounding among them, but no
 * signalling NaN, which instructions quieten. */
static float *any_floats(size_t n) {
    static mien_rng rng;
    if (!rng.seed) mien_rng_start(&rng, 3, "tiles");
    uint32_t *bits = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) {
        bits[i] = (uint32_t)mien_rng_below(&rng, (int64_t)1 << 32);
        if (i % 5 == 0) bits[i] = (bits[i] & 0xffff0000u) | 0x8000u; /* half way */
        if (i % 11 == 0) bits[i] &= 0x807fffffu;                     /* subnormal */
        if (i % 13 == 0) bits[i] |= 0x7f800000u;                     /* NaN or infinite */
        if ((bits[i] & 0x7f800000u) == 0x7f800000u && (bits[i] & 0x7fffffu)) bits[i] |= 0x400000u;
    }
    return (float *)bits;
}

static void by_onednn(const dnnl_memory_desc_t *from_md, const dnnl_memory_desc_t *to_md,
                      void *from, void *to) {
    dnnl_engine_t engine = mien__onednn_engine();
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t reorder;
    dnnl_stream_t stream;
    dnnl_memory_t in, out;
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    must(dnnl_reorder_primitive_desc_create(&pd, from_md, engine, to_md, engine, NULL));
    must(dnnl_primitive_create(&reorder, pd));
    must(dnnl_memory_create(&in, from_md, engine, from));
    must(dnnl_memory_create(&out, to_md, engine, to));
    dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};
    must(dnnl_primitive_execute(reorder, stream, 2, arg));
    must(dnnl_stream_wait(stream));
    dnnl_memory_destroy(in);
    dnnl_memory_destroy(out);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(pd);
    dnnl_stream_destroy(stream);
}

/* Re-lays weights of these dimensions both ways, `shift` bytes off a line of the cache, and tells
 * whether own loops did it. */
static bool compare(const dnnl_dims_t dims, dnnl_data_type_t dtype, dnnl_format_tag_t tag,
                    bool back, size_t shift) {
    dnnl_memory_desc_t plain, tiled;
    must(dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw));
    must(dnnl_memory_desc_init_by_tag(&tiled, 4, dims, dtype, tag));
    const dnnl_memory_desc_t *from_md = back ? &tiled : &plain, *to_md = back ? &plain : &tiled;
    size_t bytes = dnnl_memory_desc_get_size(to_md);
    float *from = any_floats(dnnl_memory_desc_get_size(from_md) / 4 + 1);
    char *found = aligned_alloc(64, (bytes + 127) / 64 * 64);
    char *expected = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(found, 1, bytes + 64 - (bytes % 64));
    must(mien__onednn_lock());
    by_onednn(from_md, to_md, from, expected);
    mien__primitive *p = calloc(1, sizeof *p);
    must(mien__primitive_weights(p, &plain, &tiled, back));
    must(mien__primitive_reorder(p, from, found + shift));
    bool own = p->tiles.taps > 0;
    mien__primitive_destroy(p);
    mien__onednn_unlock();
    if (memcmp(found + shift, expected, bytes) != 0)
        fail_msg("[%d,%d,%d,%d] to format tag %d%s: other bits than oneDNN's", (int)dims[0],
                 (int)dims[1], (int)dims[2], (int)dims[3], (int)tag, back ? " and back" : "");
    free(from);
    free(found);
    free(expected);
    return own;
}

static const dnnl_format_tag_t f32_tags[] = {dnnl_ABcd16b16a, dnnl_ABcd16a16b, dnnl_BAcd16a16b};
static const dnnl_format_tag_t bf16_tags[] = {dnnl_ABcd8b16a2b, dnnl_ABcd8a16b2a, dnnl_BAcd8a16b2a};

static void whole_tiles_are_laid_out_by_own_loops(void **state) {
    (void)state;
    /* The fifth is large enough to be written past the caches. */
    static const dnnl_dims_t shapes[] = {
        {16, 16, 1, 1}, {32, 80, 1, 1}, {96, 32, 3, 3}, {32, 48, 1, 5}, {160, 192, 3, 3},
    };
    bool wide = mien__cpu_block() == 16, half = wide && mien__cpu_has_bf16();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int i = 0; i < 3; i++)
            for (size_t shift = 0; shift <= 16; shift += 16) {
                assert_int_equal(compare(shapes[s], dnnl_f32, f32_tags[i], false, shift), wide);
                if (half) assert_true(compare(shapes[s], dnnl_bf16, bf16_tags[i], false, shift));
                bool known = wide && f32_tags[i] == dnnl_ABcd16b16a;
                assert_int_equal(compare(shapes[s], dnnl_f32, f32_tags[i], true, shift), known);
            }
}

static void other_weights_are_left_to_onednn(void **state) {
    (void)state;
    /* Odd channels, a half tile of them, a kernel of 49 taps. */
    static const dnnl_dims_t shapes[] = {
        {17, 33, 1, 1},
        {24, 32, 3, 3},
        {32, 40, 3, 3},
        {16, 32, 7, 7},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int i = 0; i < 3; i++) {
            assert_false(compare(shapes[s], dnnl_f32, f32_tags[i], false, 0));
            assert_false(compare(shapes[s], dnnl_f32, f32_tags[i], true, 0));
            if (mien__cpu_has_bf16())
                assert_false(compare(shapes[s], dnnl_bf16, bf16_tags[i], false, 0));
        }
    static const dnnl_dims_t stem = {64, 3, 7, 7};
    assert_false(compare(stem, dnnl_f32, dnnl_Acdb16a, false, 0));
    assert_false(compare(stem, dnnl_f32, dnnl_Acdb16a, true, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_tiles_are_laid_out_by_own_loops),
        cmocka_unit_test(other_weights_are_left_to_onednn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
