/* The check of an enqueue's tensors without a device: which may share memory. */
#include "apart.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "spec/spec.h"
#include "spec_flags.h"

/* Slides each output over each other tensor, byte by byte. */
static void test_overlap_of_each_pair(void **state)
{
    (void)state;
    static const enum an_tensor outputs[] = {AN_Y, AN_MEAN, AN_RSTD, AN_SUM, AN_Y_SCALE};
    anynorm_spec spec = whole;
    spec.flags |= ANYNORM_ANY_ALIGNMENT;
    anynorm_spec complete = resolved(spec);
    for (size_t k = 0; k < COUNT(kinds) * COUNT(outputs) * AN_FORWARD_COUNT; k++) {
        enum an_tensor output = outputs[k / COUNT(kinds) % COUNT(outputs)];
        enum an_tensor other = (enum an_tensor)(k / COUNT(kinds) / COUNT(outputs));
        if (output == other)
            continue;
        anynorm_tensors tensors = apart(&complete, kinds[k % COUNT(kinds)]);
        anynorm_buffer *a = an_tensor_slot(&tensors, output);
        anynorm_buffer *b = an_tensor_slot(&tensors, other);
        uint64_t length = a->bytes - 64, other_length = b->bytes - 64;
        a->root = b->root;
        a->root_offset = b->root_offset;
        a->bytes = b->bytes = 8192;
        b->offset = 1024;
        for (uint64_t at = 1024 - length; at <= 1024 + other_length; at++) {
            a->offset = at;
            if (at == 1024 - length || at == 1024 + other_length)
                assert_ok(check(&spec, &tensors));
            else
                assert_refused_tensors(check(&spec, &tensors));
        }
    }
}

static void test_inputs_may_overlap(void **state)
{
    (void)state;
    anynorm_spec spec = {.columns = 6, .flags = ANYNORM_WEIGHT | ANYNORM_BIAS}, complete;
    complete = resolved(spec);
    anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
    tensors.weight = tensors.bias = tensors.x;
    assert_ok(check(&spec, &tensors));
}

static void test_y_may_be_x(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        bool good;
    } cases[] = {
        {{.columns = 6}, true},
        {{.columns = 6, .x.type = ANYNORM_F64, .y.type = ANYNORM_F64}, true},
        {{.columns = 6, .x.row_stride = 9, .y.row_stride = 9}, true},
        {{.columns = 6, .inner_rows = 2, .x.outer_stride = 20, .y.outer_stride = 20}, true},
        {{.columns = 6, .x.type = ANYNORM_F16, .y.type = ANYNORM_BF16}, false},
        {{.columns = 6, .y.type = ANYNORM_I8}, false},
        {{.columns = 6, .x.type = ANYNORM_F32, .y.type = ANYNORM_F16}, false},
        {{.columns = 6, .x.row_stride = 9}, false},
        {{.columns = 6, .y.row_stride = 9}, false},
        {{.columns = 6, .inner_rows = 2, .x.outer_stride = 20}, false},
        {{.columns = 6, .inner_rows = 2, .x.outer_stride = 6, .y.outer_stride = 6}, false},
        {{.columns = 6, .x.column_stride = 9, .y.column_stride = 9}, true},
        {{.columns = 6, .x.column_stride = 5, .y.column_stride = 5}, true},
        {{.columns = 6, .x.column_stride = 4, .y.column_stride = 4}, false}, /* rows overlap */
        {{.columns = 6, .x.column_stride = 9, .y.column_stride = 8}, false},
        {{.columns = 6, .x.column_stride = 9}, false},
        {{.columns = 6, .inner_rows = 3, .x.column_stride = 3, .y.column_stride = 3}, true},
    };
    for (size_t k = 0; k < COUNT(kinds) * COUNT(cases); k++) {
        const anynorm_spec *spec = &cases[k / COUNT(kinds)].spec;
        anynorm_spec complete = resolved(*spec);
        anynorm_tensors tensors = apart(&complete, kinds[k % COUNT(kinds)]);
        tensors.x.bytes = 4096;
        tensors.y = tensors.x;
        if (cases[k / COUNT(kinds)].good)
            assert_ok(check(spec, &tensors));
        else
            assert_refused_tensors(check(spec, &tensors));
    }
}

/* y and sum, each over nothing, x or residual. */
static void test_outputs_over_inputs(void **state)
{
    (void)state;
    const anynorm_spec spec = {.columns = 6, .flags = RESIDUAL | SUM};
    anynorm_spec complete = resolved(spec);
    const enum an_tensor places[] = {AN_TENSOR_COUNT, AN_X, AN_RESIDUAL};
    for (size_t k = 0; k < COUNT(kinds) * 9; k++) {
        enum an_tensor y = places[k % 3], sum = places[k / 3 % 3];
        anynorm_tensors tensors = apart(&complete, kinds[k / 9]);
        if (y != AN_TENSOR_COUNT)
            tensors.y = *an_tensor_buffer(&tensors, y);
        if (sum != AN_TENSOR_COUNT)
            tensors.sum = *an_tensor_buffer(&tensors, sum);
        if (y == sum && y != AN_TENSOR_COUNT)
            assert_refused_tensors(check(&spec, &tensors));
        else
            assert_ok(check(&spec, &tensors));
        if (y == AN_TENSOR_COUNT)
            continue;
        tensors.y.offset -= 4;
        assert_refused_tensors(check(&spec, &tensors));
    }
    /* x and residual may be one, and y it: then sum must be another. */
    anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
    tensors.residual = tensors.y = tensors.x;
    assert_ok(check(&spec, &tensors));
    tensors.sum = tensors.x;
    assert_refused_tensors(check(&spec, &tensors));
}

/* An output over an input of another type or other strides. */
static void test_unlike_outputs_over_inputs(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        enum an_tensor output, input;
        bool good;
    } cases[] = {
        {{.columns = 6, .flags = RESIDUAL, .residual.row_stride = 9, .y.row_stride = 9},
         AN_Y,
         AN_RESIDUAL,
         true},
        {{.columns = 6, .flags = RESIDUAL, .residual.row_stride = 9}, AN_Y, AN_RESIDUAL, false},
        {{.columns = 6, .flags = RESIDUAL, .residual.type = ANYNORM_F16}, AN_Y, AN_RESIDUAL, false},
        {{.columns = 6, .flags = SUM, .sum.type = ANYNORM_F16}, AN_SUM, AN_X, false},
        {{.columns = 6, .flags = SUM, .sum.column_stride = 9}, AN_SUM, AN_X, false},
        {{.columns = 6, .flags = SUM, .sum.column_stride = 9, .x.column_stride = 9},
         AN_SUM,
         AN_X,
         true},
        {{.columns = 6, .inner_rows = 2, .flags = SUM, .sum.outer_stride = 20},
         AN_SUM,
         AN_X,
         false},
        {{.columns = 6, .column_run = 3, .flags = SUM, .sum.column_stride = 30},
         AN_SUM,
         AN_X,
         false},
        {{.columns = 6,
          .column_run = 3,
          .flags = SUM,
          .sum.column_stride = 30,
          .x.column_stride = 30},
         AN_SUM,
         AN_X,
         true},
        {{.columns = 6,
          .inner_rows = 2,
          .flags = RESIDUAL | SUM,
          .sum.outer_stride = 20,
          .residual.outer_stride = 20},
         AN_SUM,
         AN_RESIDUAL,
         true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec complete = resolved(cases[i].spec);
        anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
        an_tensor_slot(&tensors, cases[i].input)->bytes = 4096;
        *an_tensor_slot(&tensors, cases[i].output) = *an_tensor_buffer(&tensors, cases[i].input);
        if (cases[i].good)
            assert_ok(check(&cases[i].spec, &tensors));
        else
            assert_refused_tensors(check(&cases[i].spec, &tensors));
    }
}

/* Statistics that are inputs may share memory with inputs, as outputs they may not. */
static void test_statistics_as_inputs(void **state)
{
    (void)state;
    anynorm_spec given = {.columns = 6, .flags = MEAN_IN | RSTD_IN};
    anynorm_spec found = {.columns = 6, .flags = MEAN_OUT | RSTD_OUT};
    for (int i = 0; i < 2; i++) {
        anynorm_spec *spec = i ? &given : &found, complete = resolved(*spec);
        anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
        tensors.rstd = tensors.mean;
        if (i)
            assert_ok(check(spec, &tensors));
        else
            assert_refused_tensors(check(spec, &tensors));
        tensors.rstd = tensors.mean = tensors.y;
        assert_refused_tensors(check(spec, &tensors));
    }
}

/* Slices whose rows are all inner ones, so that the outer strides, which may then be anything, are
 * never taken. */
static void test_slices_with_untaken_strides(void **state)
{
    (void)state;
    static const uint64_t strides[] = {1000, UINT64_C(1) << 62, UINT64_MAX / 4, UINT64_MAX};
    anynorm_buffer wide = {.bytes = 4096, .root = &wide, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
    for (size_t i = 0; i < COUNT(strides) * COUNT(strides); i++) {
        anynorm_spec spec = {.columns = 6,
                             .inner_rows = 100,
                             .x.row_stride = 12,
                             .y.row_stride = 12,
                             .x.outer_stride = strides[i % COUNT(strides)],
                             .y.outer_stride = strides[i / COUNT(strides)]};
        anynorm_tensors tensors = {.x = wide, .y = wide};
        tensors.y.offset = 24;
        assert_ok(check(&spec, &tensors));
        tensors.y.offset = 20;
        assert_refused_tensors(check(&spec, &tensors));
    }
}

/* Parts of one tensor [rows][4][6]: x, residual, y and sum, in any order. */
static void test_four_slices_of_one_tensor(void **state)
{
    (void)state;
    anynorm_spec spec = {.columns = 6,
                         .flags = RESIDUAL | SUM,
                         .x.row_stride = 24,
                         .y.row_stride = 24,
                         .residual.row_stride = 24,
                         .sum.row_stride = 24};
    anynorm_buffer wide = {.bytes = 4096, .root = &wide, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
    for (uint64_t order = 0; order < 256; order++) {
        uint64_t x = order % 4, y = order / 4 % 4, residual = order / 16 % 4, sum = order / 64;
        anynorm_tensors tensors = {.x = wide, .y = wide, .residual = wide, .sum = wide};
        tensors.x.offset = x * 24;
        tensors.y.offset = y * 24;
        tensors.residual.offset = residual * 24;
        tensors.sum.offset = sum * 24;
        if (y != sum)
            assert_ok(check(&spec, &tensors));
        else
            assert_refused_tensors(check(&spec, &tensors));
        /* An element further, it reaches into the next slice. */
        tensors.sum.offset += 4;
        uint64_t next = (sum + 1) % 4;
        bool apart_still =
            x != sum && y != sum && residual != sum && x != next && y != next && residual != next;
        if (apart_still)
            assert_ok(check(&spec, &tensors));
        else
            assert_refused_tensors(check(&spec, &tensors));
    }
}

/* ---- Random layouts in one memory, against the elements one by one ---- */

#define ARENA 4096

/* Marks the bytes of a tensor's elements; returns whether one of them was marked before. */
static bool mark(const anynorm_spec *spec, enum an_tensor tensor, const anynorm_buffer *buffer,
                 uint64_t rows, unsigned char *marks, unsigned char bit)
{
    struct an_layout layout = an_tensor_layout(spec, tensor);
    uint64_t size = anynorm_dtype_size(an_tensor_expect(spec, tensor).type);
    bool in_rows = tensor != AN_MEAN;
    bool again = false;
    for (uint64_t r = 0; r < an_tensor_rows(spec, tensor, rows); r++) {
        for (uint64_t c = 0; c < (in_rows ? spec->columns : 1); c++) {
            uint64_t at = in_rows ? an_layout_start(&layout, r) + an_layout_column(&layout, c) : r;
            for (uint64_t i = buffer->offset + at * size; i < buffer->offset + (at + 1) * size;
                 i++) {
                assert_true(i < ARENA);
                again = again || (marks[i] & bit);
                marks[i] |= bit;
            }
        }
    }
    return again;
}

static anynorm_spec random_layouts(struct random *random)
{
    anynorm_spec spec = {.columns = 1 + random_below(random, 3),
                         .x.type = (anynorm_dtype)random_below(random, 4),
                         .y.type = (anynorm_dtype)random_below(random, 4),
                         .flags = ANYNORM_ANY_ALIGNMENT | ANYNORM_MEAN_OUTPUT,
                         .inner_rows = random_below(random, 4)};
    bool alike = random_below(random, 2); /* as slices of one tensor are */
    if (alike)
        spec.y.type = spec.x.type;
    spec.x.row_stride = spec.columns * (1 + random_below(random, 3)) + random_below(random, 2);
    spec.y.row_stride = alike ? spec.x.row_stride : spec.columns + random_below(random, 8);
    if (spec.inner_rows) {
        spec.x.outer_stride =
            spec.x.row_stride * (1 + random_below(random, 5)) + random_below(random, 2);
        spec.y.outer_stride = spec.columns + random_below(random, 24);
        if (alike)
            spec.y.outer_stride = random_below(random, 3)
                                      ? spec.x.outer_stride
                                      : spec.x.row_stride * (1 + random_below(random, 5));
    }
    return spec;
}

/* Rows between the columns: of an image's channels, or of the first axis of a matrix. */
static anynorm_spec random_columns_apart(struct random *random)
{
    anynorm_spec spec = random_layouts(random);
    bool alike = spec.y.type == spec.x.type && random_below(random, 2);
    spec.columns = 1 + random_below(random, 4);
    spec.x.row_stride = 1 + random_below(random, 2);
    spec.x.column_stride = 4 + random_below(random, 8);
    spec.y.row_stride = alike ? spec.x.row_stride : 1;
    spec.y.column_stride = alike ? spec.x.column_stride : 4 + random_below(random, 8);
    if (spec.inner_rows) {
        spec.x.outer_stride = spec.columns * spec.x.column_stride + random_below(random, 9);
        spec.y.outer_stride = alike ? spec.x.outer_stride
                                    : spec.columns * spec.y.column_stride + random_below(random, 9);
    }
    return spec;
}

/* Rows between the runs of columns: groups of an image's channels. */
static anynorm_spec random_column_runs(struct random *random)
{
    anynorm_spec spec = random_columns_apart(random);
    bool alike = spec.y.column_stride == spec.x.column_stride && spec.y.type == spec.x.type;
    uint64_t run = 2 + random_below(random, 2), runs = 1 + random_below(random, 3);
    spec.columns = run * runs;
    spec.column_run = run;
    spec.x.row_stride = run + random_below(random, 2);
    spec.x.column_stride = 2 * run + random_below(random, 3 * run);
    spec.y.row_stride = alike ? spec.x.row_stride : run;
    spec.y.column_stride = alike ? spec.x.column_stride : run * (1 + random_below(random, 3));
    if (spec.inner_rows) {
        spec.x.outer_stride = runs * spec.x.column_stride + random_below(random, 9);
        spec.y.outer_stride =
            alike ? spec.x.outer_stride : runs * spec.y.column_stride + random_below(random, 9);
    }
    return spec;
}

static void check_random_overlaps(anynorm_spec make(struct random *random))
{
    struct random random = {31};
    int interleaved = 0, in_place = 0, overlapping = 0, too_careful = 0;
    for (int i = 0; i < (reduced() ? 50000 : 500000); i++) {
        anynorm_spec spec = make(&random);
        if (an_spec_resolve(&spec, &spec) != ANYNORM_OK)
            continue; /* a stride leads from column to column */
        uint64_t rows = 1 + random_below(&random, 7), x_extent, y_extent;
        anynorm_buffer arena = {
            .bytes = ARENA, .root = &arena, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
        anynorm_tensors tensors = {.x = arena, .y = arena, .mean = arena};
        tensors.x.offset = 256 + random_below(&random, 64);
        tensors.y.offset =
            random_below(&random, 4) ? 256 + random_below(&random, 64) : tensors.x.offset;
        tensors.mean.offset = random_below(&random, 3) ? 4000 : 240 + random_below(&random, 256);
        unsigned char marks[ARENA] = {0};
        (void)mark(&spec, AN_X, &tensors.x, rows, marks, 1);
        bool wrong = mark(&spec, AN_Y, &tensors.y, rows, marks, 2), shared = false;
        (void)mark(&spec, AN_MEAN, &tensors.mean, rows, marks, 4);
        for (uint64_t at = 0; at < ARENA; at++) {
            shared = shared || (marks[at] & 3) == 3;
            wrong = wrong || (marks[at] & 4 && marks[at] != 4);
        }
        bool same = tensors.x.offset == tensors.y.offset && spec.x.type == spec.y.type;
        struct an_layout x = an_spec_layout(&spec, &spec.x), y = an_spec_layout(&spec, &spec.y);
        for (uint64_t r = 0; r < rows && same; r++)
            same = an_layout_start(&x, r) == an_layout_start(&y, r) &&
                   x.column_stride == y.column_stride;
        wrong = wrong || (shared && !same);

        assert_true(an_tensor_extent(&spec, AN_X, rows, &x_extent));
        assert_true(an_tensor_extent(&spec, AN_Y, rows, &y_extent));
        bool meet = tensors.x.offset < tensors.y.offset + y_extent &&
                    tensors.y.offset < tensors.x.offset + x_extent;
        anynorm_status status = an_tensors_check(&spec, &tensors, rows, &owner);
        if (wrong && status == ANYNORM_OK) {
            char text[256];
            anynorm_spec_format(&spec, rows, text, sizeof(text));
            fail_msg("taken: %s, x at %" PRIu64 ", y at %" PRIu64, text, tensors.x.offset,
                     tensors.y.offset);
        }
        overlapping += wrong;
        interleaved += status == ANYNORM_OK && meet && !shared;
        in_place += status == ANYNORM_OK && shared;
        too_careful += !wrong && status != ANYNORM_OK;
    }
    fprintf(stderr,
            "# random overlaps: %d refused as they must be, %d interleaved and %d in place "
            "taken, %d refused without need\n",
            overlapping, interleaved, in_place, too_careful);
    assert_true(overlapping > 1000 && interleaved > 1000 && in_place > 1000);
}

/* Scale in the memory of y, as slices of one tensor and otherwise; never may they share a byte. */
static void test_random_overlaps_of_samples(void **state)
{
    (void)state;
    struct random random = {32};
    int interleaved = 0, overlapping = 0;
    for (int i = 0; i < (reduced() ? 50000 : 500000); i++) {
        anynorm_spec spec = i % 2 ? random_columns_apart(&random) : random_layouts(&random);
        bool alike = random_below(&random, 2);
        spec.flags = ANYNORM_ANY_ALIGNMENT | SCALE;
        spec.sample_rows = 1 + random_below(&random, 4);
        spec.scale = spec.y;
        spec.scale.outer_stride = 0;
        if (!alike) {
            spec.scale.type = (anynorm_dtype)random_below(&random, 4);
            spec.scale.row_stride = 1 + random_below(&random, 24);
            spec.scale.column_stride = random_below(&random, 3) ? 0 : 1 + random_below(&random, 9);
        }
        if (an_spec_resolve(&spec, &spec) != ANYNORM_OK)
            continue; /* a stride leads from column to column */
        uint64_t rows = 1 + random_below(&random, 7);
        anynorm_buffer arena = {
            .bytes = ARENA, .root = &arena, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
        anynorm_buffer elsewhere = arena;
        elsewhere.root = &elsewhere;
        anynorm_tensors tensors = {.x = elsewhere, .y = arena, .scale = arena};
        tensors.y.offset = 256 + random_below(&random, 64);
        tensors.scale.offset = 256 + random_below(&random, 64);
        unsigned char marks[ARENA] = {0};
        (void)mark(&spec, AN_SCALE, &tensors.scale, rows, marks, 1);
        bool wrong = mark(&spec, AN_Y, &tensors.y, rows, marks, 2);
        for (uint64_t at = 0; at < ARENA; at++)
            wrong = wrong || (marks[at] & 3) == 3;
        uint64_t y_extent, scale_extent;
        assert_true(an_tensor_extent(&spec, AN_Y, rows, &y_extent));
        assert_true(an_tensor_extent(&spec, AN_SCALE, rows, &scale_extent));
        bool meet = tensors.scale.offset < tensors.y.offset + y_extent &&
                    tensors.y.offset < tensors.scale.offset + scale_extent;
        anynorm_status status = an_tensors_check(&spec, &tensors, rows, &owner);
        if (wrong && status == ANYNORM_OK) {
            char text[256];
            anynorm_spec_format(&spec, rows, text, sizeof(text));
            fail_msg("taken: %s, y at %" PRIu64 ", scale at %" PRIu64, text, tensors.y.offset,
                     tensors.scale.offset);
        }
        overlapping += wrong;
        interleaved += status == ANYNORM_OK && meet;
    }
    fprintf(stderr, "# samples: %d refused as they must be, %d interleaved taken\n", overlapping,
            interleaved);
    assert_true(overlapping > 1000 && interleaved > 1000);
}

/* The six slices of [samples][6][columns] that a block of a diffusion transformer is modulated by,
 * and a seventh that takes its y. */
static void test_slices_of_samples(void **state)
{
    (void)state;
    anynorm_spec spec = {.columns = 6,
                         .flags = RESIDUAL | GATE | SCALE | SHIFT,
                         .y.row_stride = 42,
                         .gate.row_stride = 42,
                         .scale.row_stride = 42,
                         .shift.row_stride = 42,
                         .sample_rows = 2};
    anynorm_spec complete = resolved(spec);
    anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
    anynorm_buffer wide = {.bytes = 4096, .root = &wide, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
    tensors.y = tensors.gate = tensors.scale = tensors.shift = wide;
    for (uint64_t y = 0; y < 7; y++) {
        for (uint64_t first = 0; first < 7; first++) {
            uint64_t second = (first + 1) % 7, third = (first + 3) % 7;
            tensors.y.offset = y * 24;
            tensors.gate.offset = first * 24;
            tensors.scale.offset = second * 24;
            tensors.shift.offset = third * 24;
            if (y != first && y != second && y != third)
                assert_ok(check(&spec, &tensors));
            else
                assert_refused_tensors(check(&spec, &tensors));
            tensors.y.offset += 4; /* into the next slice */
            uint64_t next = (y + 1) % 7;
            if (y != first && y != second && y != third && next != first && next != second &&
                next != third)
                assert_ok(check(&spec, &tensors));
            else
                assert_refused_tensors(check(&spec, &tensors));
        }
    }
}

static void test_random_overlaps(void **state)
{
    (void)state;
    check_random_overlaps(random_layouts);
}

static void test_random_overlaps_of_columns_apart(void **state)
{
    (void)state;
    check_random_overlaps(random_columns_apart);
}

static void test_random_overlaps_of_column_runs(void **state)
{
    (void)state;
    check_random_overlaps(random_column_runs);
}

/* Rows that share an element, and rows that share none but whose strides do not nest: the message
 * does not claim more than is known. */
static void test_rows_that_do_not_nest(void **state)
{
    (void)state;
    const anynorm_spec specs[] = {
        {.columns = 2, .y.column_stride = 4, .y.row_stride = 2}, /* row 2 begins in row 0 */
        {.columns = 2, .y.column_stride = 3, .y.row_stride = 2}, /* {0, 3}, {2, 5}, {4, 7} */
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        anynorm_spec spec = resolved(specs[i]);
        anynorm_tensors tensors = apart(&spec, AN_BUFFER_CL_MEM);
        assert_refused_tensors(an_tensors_check(&spec, &tensors, 4, &owner));
        assert_non_null(strstr(anynorm_message(), "y: with these strides, which do not nest"));
        assert_ok(an_tensors_check(&spec, &tensors, 1, &owner));
    }
}

/* The slices that programs make: all taken. */
static void test_slices_of_one_tensor(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        uint64_t rows;
        uint64_t x_element;
        uint64_t y_element;
    } slices[] = {
        {{.columns = 8, .x.row_stride = 16, .y.row_stride = 16}, 10, 0, 8},
        {{.columns = 8, .x.row_stride = 16, .y.row_stride = 16}, 10, 8, 0},
        {{.columns = 8, .x.row_stride = 24, .y.row_stride = 24}, 10, 16, 8},
        {{.columns = 4,
          .inner_rows = 3,
          .x.row_stride = 4,
          .y.row_stride = 4,
          .x.outer_stride = 36,
          .y.outer_stride = 36},
         9,
         0,
         12}, /* q to k of [t][3][heads][4] */
        {{.columns = 4,
          .inner_rows = 3,
          .x.row_stride = 4,
          .y.row_stride = 4,
          .x.outer_stride = 36,
          .y.outer_stride = 36},
         9,
         12,
         0},
        {{.columns = 4,
          .inner_rows = 3,
          .x.row_stride = 8,
          .y.row_stride = 8,
          .x.outer_stride = 40,
          .y.outer_stride = 24},
         9,
         0,
         4},
        {{.columns = 4,
          .inner_rows = 7,
          .x.outer_stride = 56,
          .y.outer_stride = 56,
          .x.column_stride = 7,
          .y.column_stride = 7},
         21,
         0,
         28}, /* channels 0 to 3 of [n][8][7] to 4 to 7 */
        {{.columns = 20,
          .inner_rows = 2,
          .x.row_stride = 4,
          .y.row_stride = 4,
          .x.outer_stride = 80,
          .y.outer_stride = 80,
          .x.column_stride = 16,
          .y.column_stride = 16,
          .column_run = 4},
         6,
         0,
         8}, /* channels 0 to 7 of [n][5][16], in two groups, to 8 to 15 */
        {{.columns = 4, .x.column_stride = 10, .y.column_stride = 10},
         5,
         0,
         5}, /* the left half of a matrix of 10 columns, normalized downwards, to the right half */
    };
    for (size_t i = 0; i < COUNT(slices); i++) {
        anynorm_spec spec = resolved(slices[i].spec);
        anynorm_buffer wide = {
            .bytes = ARENA, .root = &wide, .owner = &owner, .kind = AN_BUFFER_CL_MEM};
        anynorm_tensors tensors = {.x = wide, .y = wide};
        tensors.x.offset = slices[i].x_element * 4;
        tensors.y.offset = slices[i].y_element * 4;
        assert_ok(an_tensors_check(&spec, &tensors, slices[i].rows, &owner));
        if (tensors.y.offset > tensors.x.offset)
            tensors.y.offset -= 4;
        else
            tensors.y.offset += 4;
        assert_refused_tensors(an_tensors_check(&spec, &tensors, slices[i].rows, &owner));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlap_of_each_pair),
        cmocka_unit_test(test_inputs_may_overlap),
        cmocka_unit_test(test_y_may_be_x),
        cmocka_unit_test(test_outputs_over_inputs),
        cmocka_unit_test(test_unlike_outputs_over_inputs),
        cmocka_unit_test(test_statistics_as_inputs),
        cmocka_unit_test(test_slices_with_untaken_strides),
        cmocka_unit_test(test_four_slices_of_one_tensor),
        cmocka_unit_test(test_random_overlaps),
        cmocka_unit_test(test_random_overlaps_of_samples),
        cmocka_unit_test(test_slices_of_samples),
        cmocka_unit_test(test_random_overlaps_of_columns_apart),
        cmocka_unit_test(test_random_overlaps_of_column_runs),
        cmocka_unit_test(test_rows_that_do_not_nest),
        cmocka_unit_test(test_slices_of_one_tensor),
    };
    return cmocka_run_group_tests_name("overlaps", tests, NULL, NULL);
}
