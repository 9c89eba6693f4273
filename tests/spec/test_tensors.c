/* The check of an enqueue's tensors without a device: presence, owner, size, alignment. */
#include "apart.h"

#include <string.h>

#include "spec_flags.h"

static void test_presence(void **state)
{
    (void)state;
    anynorm_spec complete = resolved(usual);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        anynorm_tensors all = apart(&complete, kinds[k]);
        for (uint32_t flags = 0; flags <= ALL_FLAGS; flags++) {
            anynorm_spec spec = usual;
            spec.flags = flags;
            for (uint32_t given = 0; given < 64; given++) {
                anynorm_tensors tensors = {0};
                for (int t = 0; t < AN_TENSOR_COUNT; t++) {
                    if (given & (1u << t))
                        *an_tensor_slot(&tensors, (enum an_tensor)t) =
                            *an_tensor_buffer(&all, (enum an_tensor)t);
                }
                /* The flags and the tensors are in the same order, after x and y. */
                if (given == (flags << 2 | 3))
                    assert_ok(check(&spec, &tensors));
                else
                    assert_refused_tensors(check(&spec, &tensors));
            }
        }
    }
}

/* Each tensor alone missing, and each given alone to a spec that does not name it. */
static void test_presence_of_each(void **state)
{
    (void)state;
    anynorm_spec complete = resolved(whole);
    anynorm_tensors all = apart(&complete, AN_BUFFER_CL_MEM);
    assert_ok(check(&whole, &all));
    anynorm_spec plain = {.columns = 6, .y.type = ANYNORM_I8};
    for (int t = 0; t < AN_FORWARD_COUNT; t++) {
        enum an_tensor tensor = (enum an_tensor)t;
        anynorm_tensors tensors = all;
        *an_tensor_slot(&tensors, tensor) = (anynorm_buffer){0};
        assert_refused_tensors(check(&whole, &tensors));
        assert_non_null(strstr(anynorm_message(), an_tensor_name(tensor)));
        tensors = (anynorm_tensors){.x = all.x, .y = all.y};
        *an_tensor_slot(&tensors, tensor) = *an_tensor_buffer(&all, tensor);
        if (t == AN_X || t == AN_Y)
            continue;
        assert_refused_tensors(check(&plain, &tensors));
        assert_non_null(strstr(anynorm_message(), an_tensor_name(tensor)));
    }
}

/* Partials that are an output: y is then superfluous, and everything else is checked as ever. */
static void test_without_y(void **state)
{
    (void)state;
    anynorm_spec complete = resolved(half), with_y = {.columns = 6, .y.type = ANYNORM_F16};
    anynorm_spec complete_with_y = resolved(with_y);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        anynorm_tensors good = apart(&complete, kinds[k]), tensors = good;
        assert_int_equal(good.partials.bytes, 64 + ROWS * 12);
        assert_int_equal(good.y.kind, AN_BUFFER_NONE);
        assert_ok(check(&half, &tensors));
        tensors.y = apart(&complete_with_y, kinds[k]).y;
        assert_refused_tensors(check(&half, &tensors));
        assert_non_null(strstr(anynorm_message(), "y is given"));
        tensors = good;
        tensors.partials = (anynorm_buffer){0};
        assert_refused_tensors(check(&half, &tensors));
        assert_non_null(strstr(anynorm_message(), "partials"));
        tensors = good;
        tensors.partials.bytes--;
        assert_refused_tensors(check(&half, &tensors));
        tensors = good;
        tensors.partials.root = good.x.root;
        tensors.partials.root_offset = good.x.root_offset;
        assert_refused_tensors(check(&half, &tensors));
        assert_non_null(strstr(anynorm_message(), "partials"));
        tensors = good;
        tensors.sum = good.x; /* of other strides, so not x itself */
        tensors.sum.bytes += 1000;
        assert_refused_tensors(check(&half, &tensors));
    }
}

static void test_extents(void **state)
{
    (void)state;
    anynorm_spec spec = resolved(whole);
    static const struct {
        enum an_tensor tensor;
        uint64_t rows;
        uint64_t bytes;
    } cases[] = {
        {AN_WEIGHT, 1, 3 * 3 * 8}, {AN_BIAS, 100, 3 * 3 * 8},    {AN_PRE_BIAS, 2, 3 * 3 * 8},
        {AN_GATE, 1, 6 * 2},       {AN_SCALE, 2, 6 * 2},         {AN_SHIFT, 3, 2 * 6 * 2},
        {AN_GATE, 5, 3 * 6 * 2},   {AN_MEAN, 5, 5 * 4},          {AN_RESIDUAL, 3, (2 * 8 + 6) * 2},
        {AN_SUM, 2, (9 + 6) * 4},  {AN_PARTIALS, 5, 3 * 5 * 12}, {AN_Y, 3, 3 * 6},
        {AN_Y_SCALE, 5, 5 * 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes;
        assert_true(an_tensor_extent(&spec, cases[i].tensor, cases[i].rows, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
    assert_int_equal(an_tensor_start(&spec, AN_WEIGHT, 5), 2 * 3 * 8);
    assert_int_equal(an_tensor_start(&spec, AN_SHIFT, 5), 2 * 6 * 2);
    assert_int_equal(an_tensor_start(&spec, AN_SUM, 5), 5 * 9 * 4);
    assert_int_equal(an_tensor_start(&spec, AN_PARTIALS, 5), 5 * 12);
    uint64_t bytes;
    for (uint64_t least = 1; least <= 3;
         least += 2) { /* of bytes, of numbers, of shards too many */
        spec.statistic.shards = UINT64_MAX / (4 * least);
        assert_false(an_tensor_extent(&spec, AN_PARTIALS, 2, &bytes));
    }
    spec.statistic.shards = UINT64_MAX;
    assert_false(an_tensor_extent(&spec, AN_PARTIALS, 2, &bytes));
    assert_int_equal(an_tensor_start(&spec, AN_Y_SCALE, 5), 5 * 4);
    spec.flags ^= ANYNORM_Y_SCALE_OUTPUT | ANYNORM_Y_SCALE_INPUT; /* then it is one for all */
    assert_int_equal(an_tensor_start(&spec, AN_Y_SCALE, 5), 0);
    assert_true(an_tensor_extent(&spec, AN_Y_SCALE, 5, &bytes));
    assert_int_equal(bytes, 4);
    assert_false(an_tensor_expect(&spec, AN_Y_SCALE).output);
    spec.parameters.rows = UINT64_MAX;
    assert_false(an_tensor_extent(&spec, AN_WEIGHT, 1, &bytes));
    assert_false(an_tensor_extent(&spec, AN_GATE, UINT64_MAX, &bytes));
}

/* Each of gate, scale and shift by its own type and strides, and by the samples that rows have. */
static void test_extents_of_samples(void **state)
{
    (void)state;
    anynorm_spec spec = resolved((anynorm_spec){.columns = 6,
                                                .inner_rows = 2,
                                                .flags = RESIDUAL | GATE | SCALE | SHIFT,
                                                .x.outer_stride = 40,
                                                .gate = {ANYNORM_F16, 36, 0, 0},
                                                .scale = {ANYNORM_F64, 0, 0, 0},
                                                .shift = {ANYNORM_F32, 0, 0, 5},
                                                .sample_rows = 3});
    static const struct {
        enum an_tensor tensor;
        uint64_t rows, bytes;
    } cases[] = {
        {AN_GATE, 1, 6 * 2},
        {AN_GATE, 3, 6 * 2},
        {AN_GATE, 4, (36 + 6) * 2},
        {AN_SCALE, 7, 3 * 6 * 8},
        {AN_SHIFT, 1, (5 * 5 + 1) * 4},
        {AN_SHIFT, 9, (2 + 5 * 5 + 1) * 4},
    };
    uint64_t bytes;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_true(an_tensor_extent(&spec, cases[i].tensor, cases[i].rows, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
    assert_int_equal(an_tensor_start(&spec, AN_GATE, 7), 2 * 36 * 2);
    assert_int_equal(an_tensor_start(&spec, AN_SCALE, 7), 2 * 6 * 8);
    assert_int_equal(an_tensor_start(&spec, AN_SHIFT, 7), 2 * 4);
    assert_int_equal(an_tensor_rows(&spec, AN_SHIFT, 7), 3);
    assert_int_equal(an_tensor_rows(&spec, AN_RESIDUAL, 7), 7);
    spec.gate.row_stride = UINT64_MAX / 2;
    assert_false(an_tensor_extent(&spec, AN_GATE, 7, &bytes));
    spec.sample_rows = 7; /* then it is never taken */
    assert_true(an_tensor_extent(&spec, AN_GATE, 7, &bytes));
}

static void test_size_and_owner(void **state)
{
    (void)state;
    anynorm_spec complete = resolved(whole);
    for (size_t k = 0; k < COUNT(kinds) * AN_FORWARD_COUNT; k++) {
        anynorm_tensors tensors = apart(&complete, kinds[k % COUNT(kinds)]);
        anynorm_buffer *buffer = an_tensor_slot(&tensors, (enum an_tensor)(k / COUNT(kinds)));
        const anynorm_buffer good = *buffer;
        assert_ok(check(&whole, &tensors));
        buffer->bytes = good.bytes - 1;
        assert_refused_tensors(check(&whole, &tensors));
        buffer->bytes = 0;
        assert_refused_tensors(check(&whole, &tensors));
        *buffer = good;
        buffer->offset += 8;
        assert_refused_tensors(check(&whole, &tensors));
        buffer->bytes += 8;
        assert_ok(check(&whole, &tensors));
        static const uint64_t far[] = {UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 63,
                                       UINT64_C(1) << 63};
        for (size_t i = 0; i < COUNT(far); i++) {
            *buffer = good;
            buffer->offset = far[i];
            assert_refused_tensors(check(&whole, &tensors));
            *buffer = good;
            buffer->bytes = UINT64_MAX;
            buffer->root_offset = far[i] & ~UINT64_C(7);
            if (far[i] != UINT64_C(1) << 63)
                assert_refused_tensors(check(&whole, &tensors));
        }
        *buffer = good;
        buffer->owner = &other_owner;
        assert_refused_tensors(check(&whole, &tensors));
        buffer->owner = NULL;
        assert_refused_tensors(check(&whole, &tensors));
    }
}

static void test_alignment(void **state)
{
    (void)state;
    for (int i = 0; i <= ANYNORM_F8E4M3; i++) {
        const anynorm_dtype type = (anynorm_dtype)(i % 4); /* of all but y */
        const uint32_t flags = i < 4 ? whole.flags & ~(uint32_t)AN_Y_SCALES : whole.flags;
        anynorm_spec spec = {.columns = 6,
                             .x.type = type,
                             .y.type = (anynorm_dtype)i,
                             .parameters.type = type,
                             .flags = flags,
                             .residual.type = type,
                             .sum.type = type,
                             .gate.type = type,
                             .scale.type = type,
                             .shift.type = type};
        anynorm_spec complete = resolved(spec);
        for (size_t k = 0; k < COUNT(kinds) * AN_FORWARD_COUNT; k++) {
            enum an_tensor tensor = (enum an_tensor)(k / COUNT(kinds));
            uint64_t size = anynorm_dtype_size(an_tensor_expect(&complete, tensor).type);
            bool present = an_tensor_expect(&complete, tensor).present;
            for (uint64_t shift = 1; present && shift <= 8; shift++) {
                anynorm_tensors tensors = apart(&complete, kinds[k % COUNT(kinds)]);
                anynorm_buffer *buffer = an_tensor_slot(&tensors, tensor);
                buffer->offset += shift;
                buffer->bytes += shift;
                if (shift % size == 0)
                    assert_ok(check(&spec, &tensors));
                else
                    assert_refused_tensors(check(&spec, &tensors));
                spec.flags |= ANYNORM_ANY_ALIGNMENT;
                assert_ok(check(&spec, &tensors));
                spec.flags = flags;
                /* Memory that begins at an odd address counts too, where addresses are known. */
                *buffer = *an_tensor_buffer(&tensors, tensor);
                buffer->offset -= shift;
                buffer->root_offset += shift;
                if (shift % size == 0 || !an_buffer_is_pointer(buffer))
                    assert_ok(check(&spec, &tensors));
                else
                    assert_refused_tensors(check(&spec, &tensors));
            }
        }
    }
}

static void test_rows_that_overflow(void **state)
{
    (void)state;
    anynorm_spec spec = resolved(usual);
    static const uint64_t rows[] = {UINT64_MAX, UINT64_MAX / 4, UINT64_C(1) << 62,
                                    UINT64_C(1) << 40};
    for (size_t i = 0; i < COUNT(rows); i++) {
        anynorm_tensors tensors = apart(&spec, AN_BUFFER_CL_MEM);
        assert_refused_tensors(an_tensors_check(&spec, &tensors, rows[i], &owner));
    }
    anynorm_spec two = resolved((anynorm_spec){
        .columns = 4, .inner_rows = 3, .x.row_stride = 4, .y.row_stride = 4, .y.outer_stride = 8});
    anynorm_tensors tensors = apart(&two, AN_BUFFER_CL_MEM);
    assert_refused_tensors(an_tensors_check(&two, &tensors, ROWS, &owner)); /* rows of y overlap */
    assert_ok(an_tensors_check(&two, &tensors, 2, &owner));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presence),       cmocka_unit_test(test_presence_of_each),
        cmocka_unit_test(test_without_y),      cmocka_unit_test(test_extents),
        cmocka_unit_test(test_size_and_owner), cmocka_unit_test(test_extents_of_samples),
        cmocka_unit_test(test_alignment),      cmocka_unit_test(test_rows_that_overflow),
    };
    return cmocka_run_group_tests_name("tensors", tests, NULL, NULL);
}
