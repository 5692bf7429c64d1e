/* The loader: same bits for any number of workers, right pixels, clear errors.
 * Not here: how windows are chosen (tests/lua/data_*_spec.lua). */
#include "base/hash.h"
#include "data_files.h"
#include "data/loader.h"
#include <math.h>
#include <time.h>

static mien_loader_config paper(void) {
    return (mien_loader_config){.sequence = 10,
                                .batch = 2,
                                .height = 30,
                                .width = 28,
                                .resize_height = 36,
                                .resize_width = 34,
                                .random_crop = 1,
                                .brightness = 32,
                                .saturation_low = 0.5,
                                .saturation_high = 1.5,
                                .flip = 1,
                                .mean = {0.1, 0.2, 0.3},
                                .sd = {1, 0.5, 2},
                                .seed = 7,
                                .epoch = 3,
                                .workers = 1};
}

/* Crops only, no change of pixels. */
static mien_loader_config plain(void) {
    return (mien_loader_config){.sequence = 4,
                                .batch = 1,
                                .height = 16,
                                .width = 20,
                                .saturation_low = 1,
                                .saturation_high = 1,
                                .sd = {1, 1, 1},
                                .workers = 2};
}

#define FRAMES 96
static int64_t starts[9] = {80, 0, 10, 43, 5, 60, 60, 33, 71};

/* FNV-1a of everything that comes out from step `from` on. */
static uint64_t hash_run(const char *path, const mien_loader_config *config, int64_t from,
                         int *steps) {
    uint64_t hash = MIEN_HASH_START;
    mien_loader *loader = mien_loader_new(path, starts, 9, config);
    assert_non_null(loader);
    mien_tensor *frames, *labels;
    int64_t at[8];
    *steps = 0;
    for (int64_t step = config->first_step;
         mien_loader_next(loader, &frames, &labels, NULL, at) == 1; step++, ++*steps) {
        const unsigned char *bytes[2] = {mien_tensor_data(frames), mien_tensor_data(labels)};
        int64_t sizes[2] = {mien_tensor_count(frames) * 4, mien_tensor_count(labels) * 4};
        assert_int_equal(at[0], starts[step * config->batch]);
        for (int k = 0; k < 2 && step >= from; k++)
            hash = mien__hash(hash, bytes[k], (size_t)sizes[k]);
        mien_tensor_release(frames);
        mien_tensor_release(labels);
    }
    mien_loader_close(loader);
    return hash;
}

static void any_number_of_workers_gives_the_same_bits(void **state) {
    const char *path = scratch("corpus.h5");
    write_corpus(path, FRAMES, 24, 22, 2, -1);
    for (int per_frame = 0; per_frame < 2; per_frame++) {
        mien_loader_config config = paper();
        config.per_frame = per_frame;
        int steps;
        uint64_t one = hash_run(path, &config, 0, &steps);
        assert_int_equal(steps, 4); /* nine windows, the last batch is dropped */
        config.workers = 4;
        assert_true(hash_run(path, &config, 0, &steps) == one);
        config.epoch = 4;
        assert_false(hash_run(path, &config, 0, &steps) == one);
        config.epoch = 3;
        config.seed = 8;
        assert_false(hash_run(path, &config, 0, &steps) == one);
    }
}

static void a_resumed_epoch_continues_with_the_same_bits(void **state) {
    const char *path = scratch("corpus.h5");
    mien_loader_config config = paper();
    config.keep_last = 1;
    int steps;
    uint64_t whole = hash_run(path, &config, 3, &steps);
    assert_int_equal(steps, 5);
    config.first_step = 3;
    config.workers = 3;
    assert_true(hash_run(path, &config, 3, &steps) == whole);
    assert_int_equal(steps, 2);
    config.first_step = 9;
    hash_run(path, &config, 0, &steps);
    assert_int_equal(steps, 0);
}

static void pixels_are_those_of_the_centre_crop(void **state) {
    const char *path = scratch("corpus.h5");
    mien_loader_config config = plain();
    mien_loader *loader = mien_loader_new(path, starts, 9, &config);
    mien_tensor *frames, *labels;
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), 1);
    int64_t shape[5] = {1, 4, 3, 16, 20};
    for (int i = 0; i < 5; i++) assert_int_equal(mien_tensor_size(frames, i), shape[i]);
    const float *out = mien_tensor_data(frames), *label = mien_tensor_data(labels);
    for (int t = 0; t < 4; t++)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 16; y++)
                for (int x = 0; x < 20; x++) {
                    int64_t i = (((80 + t) * 24 + y + 4) * 22 + x + 1) * 3 + c;
                    float want = (float)((i * 7 + 3) % 251) / 255;
                    assert_true(fabsf(*out++ - want) < 1e-6f);
                }
    for (int i = 0; i < 8; i++)
        assert_true(fabsf(label[i] - (float)((160 + i) % 100) / 100) < 1e-6);
    mien_tensor_release(frames);
    mien_tensor_release(labels);
    mien_loader_close(loader); /* with batches under way */
}

/* A slow, plain version of the same augmentation with known numbers. */
static void colours_change_as_documented(void **state) {
    const char *path = scratch("corpus.h5");
    mien_loader_config config = plain();
    config.saturation_low = config.saturation_high = 0.5;
    mien_loader *loader = mien_loader_new(path, starts, 9, &config);
    mien_tensor *frames, *labels;
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), 1);
    const float *out = mien_tensor_data(frames);
    int64_t i = ((80 * 24 + 4) * 22 + 1) * 3;
    double r = (double)((i * 7 + 3) % 251), g = (double)((i * 7 + 10) % 251),
           b = (double)((i * 7 + 17) % 251), luma = 0.299 * r + 0.587 * g + 0.114 * b;
    assert_true(fabs(out[0] - (luma + 0.5 * (r - luma)) / 255) < 1e-6);
    assert_true(fabs(out[320] - (luma + 0.5 * (g - luma)) / 255) < 1e-6);
    assert_true(fabs(out[640] - (luma + 0.5 * (b - luma)) / 255) < 1e-6);
    mien_tensor_release(frames);
    mien_tensor_release(labels);
    mien_loader_close(loader);

    /* brightness stays in its range and is clipped */
    config.saturation_low = config.saturation_high = 1;
    config.brightness = 32;
    config.per_frame = 1;
    float lowest = 1, highest = -1;
    for (config.epoch = 0; config.epoch < 20; config.epoch++) {
        loader = mien_loader_new(path, starts, 9, &config);
        assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), 1);
        out = mien_tensor_data(frames);
        for (int t = 0; t < 4; t++) { /* an element with room on both sides */
            int64_t at = 0;
            double want = 0;
            for (at = 0; at < 320; at++) {
                int64_t k = (((80 + t) * 24 + at / 20 + 4) * 22 + at % 20 + 1) * 3;
                want = (double)((k * 7 + 3) % 251);
                if (want > 60 && want < 190) break;
            }
            float shift = out[t * 960 + at] * 255 - (float)want;
            lowest = fminf(lowest, shift);
            highest = fmaxf(highest, shift);
        }
        for (int k = 0; k < 4 * 960; k++) assert_true(out[k] >= 0 && out[k] <= 1);
        mien_tensor_release(frames);
        mien_tensor_release(labels);
        mien_loader_close(loader);
    }
    assert_true(lowest > -32.01f && lowest < -24 && highest < 32.01f && highest > 24);
}

static void bad_labels_name_the_frame(void **state) {
    const char *path = scratch("nan.h5");
    write_corpus(path, FRAMES, 24, 22, 2, 46);
    mien_loader_config config = paper();
    config.workers = 3;
    mien_loader *loader = mien_loader_new(path, starts, 9, &config);
    mien_tensor *frames, *labels;
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), 1);
    mien_tensor_release(frames);
    mien_tensor_release(labels);
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), -1);
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    assert_message("frame 47"); /* from 1 */
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), -1);
    mien_loader_close(loader);

    path = scratch("class.h5");
    write_corpus(path, FRAMES, 24, 22, 0, 2);
    int64_t first[1] = {0};
    config.batch = 1;
    loader = mien_loader_new(path, first, 1, &config);
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), -1);
    assert_message("frame 3 is stored as class 3; a file's classes are 0 to 2");
    mien_loader_close(loader);
}

/* A corpus that claims labels of a shape and a kind; its labels were never written. */
static void write_claim(const char *path, mien_dtype dtype, int ndim, const int64_t *labels,
                        const char *kind) {
    mien_h5 *file = mien_h5_create(path);
    int64_t frames[4] = {8, 4, 4, 3}, chunk[6] = {1, 16, 16, 16, 16, 16};
    mien_tensor *t = pattern(MIEN_U8, 4, frames, 3);
    assert_int_equal(mien_h5_write(file, "frames", t), MIEN_OK);
    mien_tensor_release(t);
    assert_int_equal(mien_h5_dataset(file, "labels", dtype, ndim, labels, ndim ? chunk : NULL, 0),
                     MIEN_OK);
    mien_h5_set_text(file, "", "label_kind", kind);
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
}

static void labels_of_another_shape_are_refused(void **state) {
    const char *path = scratch("claim.h5");
    int64_t wide[2] = {8, ((int64_t)1 << 32) + 1}, just[2] = {8, (1 << 16) + 1}, two[2] = {8, 2};
    int64_t first[1] = {0};
    mien_loader_config config = plain();
    config.height = config.width = 4;
    write_claim(path, MIEN_F32, 2, wide, "continuous");
    assert_null(mien_loader_new(path, first, 1, &config));
    assert_message("4294967297 labels a frame, at most 65536");
    write_claim(path, MIEN_F32, 2, just, "continuous");
    assert_null(mien_loader_new(path, first, 1, &config));
    assert_message("65537 labels a frame");
    write_claim(path, MIEN_F32, 2, two, "class");
    assert_null(mien_loader_new(path, first, 1, &config));
    assert_message("labels of classes must be i32 [N], these are f32 [N,2]");
    write_claim(path, MIEN_F32, 0, NULL, "continuous");
    assert_null(mien_loader_new(path, first, 1, &config));
    assert_message("labels must be f32 [N,K] or i32 [N]");
}

static void bad_configurations_are_refused(void **state) {
    const char *path = scratch("corpus.h5");
    int64_t beyond[1] = {90}, before[1] = {-1};
    mien_loader_config config = plain();
    config.sequence = 10;
    assert_null(mien_loader_new(path, beyond, 1, &config));
    assert_message("begins at frame 90 and takes 10");
    assert_null(mien_loader_new(path, before, 1, &config));
    config.height = 25;
    assert_null(mien_loader_new(path, starts, 9, &config));
    assert_message("set resize");
    config = plain();
    config.sd[1] = 0;
    assert_null(mien_loader_new(path, starts, 9, &config));
    config = plain();
    config.workers = 0;
    assert_null(mien_loader_new(path, starts, 9, &config));
    config.workers = 100000;
    assert_null(mien_loader_new(path, starts, 9, &config));
    assert_message("100000 workers, at most 256");
    assert_null(mien_loader_new(scratch("missing.h5"), starts, 9, &config));
    const char *cut = scratch("cut.h5");
    write_corpus(cut, FRAMES, 24, 22, 2, -1);
    assert_int_equal(truncate(cut, 50000), 0);
    config = plain();
    assert_null(mien_loader_new(cut, starts, 9, &config));
    assert_message("truncated");
}

static void a_wish_to_stop_ends_the_pull(void **state) {
    mien_loader_config config = paper();
    mien_loader *loader = mien_loader_new(scratch("corpus.h5"), starts, 9, &config);
    mien_tensor *frames, *labels;
    mien_interrupt_request();
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), -1);
    assert_int_equal(mien_error_last()->code, MIEN_ERR_INTERRUPTED);
    mien_interrupt_clear();
    assert_int_equal(mien_loader_next(loader, &frames, &labels, NULL, NULL), 1);
    mien_tensor_release(frames);
    mien_tensor_release(labels);
    assert_true(mien_loader_waited(loader) >= 0);
    mien_loader_close(loader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_workers_gives_the_same_bits),
        cmocka_unit_test(a_resumed_epoch_continues_with_the_same_bits),
        cmocka_unit_test(pixels_are_those_of_the_centre_crop),
        cmocka_unit_test(colours_change_as_documented),
        cmocka_unit_test(bad_labels_name_the_frame),
        cmocka_unit_test(labels_of_another_shape_are_refused),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(a_wish_to_stop_ends_the_pull),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, scratch_remove);
}
