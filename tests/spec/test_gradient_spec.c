/* Gradients in a spec: its rules, its text, the tensors that it takes, and how the rows are cut
 * into parts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apart.h"
#include "spec/gradient.h"

static anynorm_spec parsed(const char *text, uint64_t *rows)
{
    anynorm_spec spec;
    assert_ok(anynorm_spec_parse(text, &spec, rows));
    return spec;
}

/* ---- Rules ---- */

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *word; /* of the message */
    } bad[] = {
        {"layer-norm 4x8 dweight", "ANYNORM_WEIGHT"},
        {"layer-norm 4x8 dbias", "ANYNORM_BIAS"},
        {"layer-norm 4x8 dpre-bias", "ANYNORM_PRE_BIAS"},
        {"layer-norm 4x8 residual dresidual", "ANYNORM_GATE"},
        {"layer-norm 4x8 dgate", "ANYNORM_GATE"},
        {"layer-norm 4x8 dscale", "ANYNORM_SCALE"},
        {"layer-norm 4x8 dshift", "ANYNORM_SHIFT"},
        {"layer-norm 4x8 dx dsum", "ANYNORM_SUM_OUTPUT"},
        {"layer-norm 4x8 dx saved-sum", "ANYNORM_SUM_OUTPUT"},
        {"layer-norm 4x8 sum dsum", "names no gradient"},
        {"layer-norm 4x8 dx accumulate", "ACCUMULATE"},
        {"layer-norm 4x8 dx mean", "both mean and rstd"},
        {"layer-norm 4x8 dx rstd", "both mean and rstd"},
        {"layer-norm 4x8 dx y=i8", "y.type"},
        {"layer-norm 4x8 dx partials eps=0", "PARTIALS_OUTPUT"},
        {"layer-norm 4x8 dx partials-input", "PARTIALS_INPUT"},
        {"layer-norm 4x8 dpartials", "mean and rstd"},
        {"layer-norm 4x8 mean rstd dx dpartials", "DPARTIALS_OUTPUT"},
        {"layer-norm 4x8 mean rstd dx dpartials dpartials-input",
         "partials is an input and an output"},
        {"layer-norm 4x8 dx=i8 dx", "gradients.dx.type"},
        {"layer-norm 4x8 dx=f16", "gradients.dx.type"},
        {"layer-norm 4x8 dx dx-stride=5", "gradients.dx.row_stride"},
        {"layer-norm 4x8 weight dweight dx-stride=9", "gradients.dx.row_stride"},
        {"layer-norm 4x8 dx dparameters=f16", "gradients.parameters"},
        {"layer-norm 4x8 dx dsamples=f16", "gradients.samples"},
        {"layer-norm 4x8 dx dx", "twice"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        anynorm_spec spec;
        uint64_t rows;
        anynorm_status status = anynorm_spec_parse(bad[i].text, &spec, &rows);
        if (status != ANYNORM_INVALID_ARGUMENT || !strstr(anynorm_message(), bad[i].word))
            fail_msg("%s: %s, %s", bad[i].text, anynorm_status_name(status), anynorm_message());
    }
    anynorm_spec odd = {.columns = 4,
                        .gradients = {.flags = ANYNORM_DX, .dx.type = (anynorm_dtype)99}};
    assert_status(anynorm_spec_check(&odd), ANYNORM_INVALID_ARGUMENT);
    anynorm_spec spec = {.columns = 4, .gradients.flags = 1u << 13};
    assert_status(anynorm_spec_check(&spec), ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "0x2000"));
}

/* ---- Text ---- */

static void test_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "layer-norm 4x8 f32 weight bias backward eps=1e-05",
        "layer-norm 4x8 f16 dx=f32 weight dx eps=1e-05",
        "layer-norm 4x8 bf16 dparameters=f64 weight bias dweight dbias accumulate eps=1e-05",
        "layer-norm 4x8 f32 dresidual=f16 residual gate sum backward dsum saved-sum eps=1e-05",
        "rms-norm 4x8 f32 dsamples=bf16 rstd scale shift dscale eps=1e-05",
        "rms-norm 4x8 f32 rstd dpartials eps=1e-05",
        "layer-norm 4x8 f32 mean rstd backward dpartials-input eps=1e-05 shards=3",
        "layer-norm 6x8 f32 backward eps=1e-05 inner=3 dx-stride=9 dx-outer=40",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        uint64_t rows;
        char text[256];
        anynorm_spec spec = parsed(texts[i], &rows);
        (void)anynorm_spec_format(&spec, rows, text, sizeof(text));
        assert_string_equal(text, texts[i]);
    }
    uint64_t rows;
    anynorm_spec all =
        parsed("layer-norm 4x8 weight bias pre-bias residual gate scale shift backward", &rows);
    assert_int_equal(all.gradients.flags, AN_GRADIENTS);
    assert_int_equal(parsed("layer-norm 4x8 backward", &rows).gradients.flags, ANYNORM_DX);
}

/* ---- Tensors ---- */

static const char everything[] = "layer-norm 5x6 weight bias pre-bias residual gate scale shift "
                                 "silu mean rstd sum backward dsum";

static void test_presence(void **state)
{
    (void)state;
    uint64_t rows;
    anynorm_spec spec = parsed(everything, &rows), complete = resolved(spec);
    anynorm_tensors all = apart(&complete, AN_BUFFER_CL_MEM);
    assert_ok(check(&spec, &all));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        enum an_tensor tensor = (enum an_tensor)t;
        anynorm_tensors tensors = all;
        bool needed = an_tensor_expect(&complete, tensor).present;
        assert_int_equal(needed, t != AN_Y && t != AN_SUM && t != AN_PARTIALS && t != AN_Y_SCALE);
        *an_tensor_slot(&tensors, tensor) = (anynorm_buffer){0};
        if (needed)
            assert_refused_tensors(check(&spec, &tensors));
        else
            assert_ok(check(&spec, &tensors));
        *an_tensor_slot(&tensors, tensor) = all.x;
        if (t == AN_PARTIALS || t == AN_Y_SCALE) /* the forward pass has none either */
            assert_refused_tensors(check(&spec, &tensors));
        if (t == AN_Y || t == AN_SUM) /* which it has, and may be given */
            assert_ok(check(&spec, &tensors));
    }
}

/* What is read, where less is wanted. */
static void test_reads(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        const char *unread; /* of x weight bias pre_bias residual gate scale shift sum */
    } cases[] = {
        {"weight bias backward", "bias"},
        {"weight bias silu backward", ""},
        {"weight bias scale shift dx", "bias shift"},
        {"weight bias scale shift dscale", "shift"},
        {"weight pre-bias residual sum backward", "sum"},
        {"weight pre-bias residual sum backward saved-sum", "x pre_bias residual"},
        {"pre-bias residual gate sum dgate saved-sum", "x pre_bias gate"},
        {"pre-bias residual gate sum dresidual saved-sum", "x pre_bias residual"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128], name[32];
        uint64_t rows;
        snprintf(text, sizeof(text), "layer-norm 4x8 %s", cases[i].words);
        anynorm_spec spec = resolved(parsed(text, &rows)), forward = spec;
        forward.gradients = (anynorm_gradients){0};
        for (int t = 0; t < AN_FORWARD_COUNT; t++) {
            if (t == AN_Y || !an_tensor_expect(&forward, (enum an_tensor)t).present)
                continue;
            snprintf(name, sizeof(name), "%s", an_tensor_name((enum an_tensor)t));
            bool unread = strstr(cases[i].unread, name) != NULL &&
                          !(t == AN_BIAS && !strcmp(cases[i].unread, "x pre_bias gate"));
            if (an_tensor_expect(&spec, (enum an_tensor)t).present == unread)
                fail_msg("%s: %s", text, name);
        }
    }
}

/* The program lists the tensors of dense rows by itself, through the public interface: alike. */
static void test_program_lists_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "layer-norm 7x12 f16 weight bias mean rstd",
        "rms-norm 7x12 partials-input shards=3 weight rstd",
        "layer-norm 7x12 partials",
        "layer-norm 7x12 y=i8 y-scale",
        "layer-norm 7x12 y=i8 y-scale-input",
        "layer-norm 7x12 weight bias parameter-rows=3 parameter-cycle=6 parameter-run=2 backward",
        "layer-norm 7x12 f16 weight bias silu mean rstd backward dx=f32 dparameters=bf16",
        "layer-norm 7x12 scale shift sample-rows=3 dscale samples=bf16 dsamples=f16",
        "layer-norm 7x12 scale shift sample-rows=3 dshift",
        "rms-norm 7x12 weight residual sum sums=bf16 backward dsum saved-sum accumulate",
        "layer-norm 7x12 pre-bias residual gate sum dgate saved-sum",
        "layer-norm 7x12 pre-bias residual gate sum dresidual saved-sum dresidual=f16",
        "layer-norm 7x12 weight mean rstd dpartials",
        "layer-norm 7x12 weight mean rstd backward dpartials-input shards=2",
        everything};
    for (size_t i = 0; i < COUNT(texts); i++) {
        uint64_t rows, bytes;
        anynorm_spec plain = parsed(texts[i], &rows), spec = resolved(plain);
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            enum an_tensor tensor = (enum an_tensor)t;
            struct an_expectation expected = an_tensor_expect(&spec, tensor);
            struct cli_tensor_info info = tensor_info(&plain, t, rows);
            assert_string_equal(info.name, an_tensor_name(tensor));
            assert_int_equal(info.present, expected.present);
            if (!info.present || t == AN_WORKSPACE) /* whose bytes a plan tells */
                continue;
            assert_int_equal(info.output, expected.output);
            assert_int_equal(info.type, expected.type);
            assert_true(an_tensor_extent(&spec, tensor, rows, &bytes));
            assert_int_equal(tensor_bytes(&info), bytes);
            if (info.shape == OF_ROWS || info.shape == OF_PARAMETERS || info.shape == OF_SAMPLES)
                assert_true(tensor_element(&plain, t, rows - 1, spec.columns - 1) < info.count);
        }
    }
}

/* dx and dresidual over each input of rows, and the other outputs over none. */
static void test_places(void **state)
{
    (void)state;
    uint64_t rows;
    anynorm_spec spec = parsed(everything, &rows), complete = resolved(spec);
    for (int o = AN_DX; o < AN_TENSOR_COUNT; o++) {
        for (int i = 0; i < AN_TENSOR_COUNT; i++) {
            enum an_tensor output = (enum an_tensor)o, other = (enum an_tensor)i;
            anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
            anynorm_buffer *to = an_tensor_slot(&tensors, output);
            const anynorm_buffer *from = an_tensor_buffer(&tensors, other);
            if (o == i || !an_tensor_expect(&complete, other).present)
                continue;
            uint64_t bytes = to->bytes > from->bytes ? to->bytes : from->bytes;
            *to = *from;
            to->bytes = an_tensor_slot(&tensors, other)->bytes = bytes;
            bool may = (o == AN_DX || o == AN_DRESIDUAL) && an_tensor_shape(other) == AN_OF_ROWS &&
                       !an_tensor_expect(&complete, other).output;
            if (may)
                assert_ok(check(&spec, &tensors));
            else
                assert_refused_tensors(check(&spec, &tensors));
        }
    }
}

static void test_workspace(void **state)
{
    (void)state;
    uint64_t rows;
    anynorm_spec spec = parsed("layer-norm 5x6 weight bias backward", &rows),
                 complete = resolved(spec);
    anynorm_tensors tensors = apart(&complete, AN_BUFFER_CL_MEM);
    tensors.workspace.offset = 4;
    assert_refused_tensors(check(&spec, &tensors));
    tensors = apart(&complete, AN_BUFFER_CL_MEM);
    tensors.workspace.bytes--;
    assert_refused_tensors(check(&spec, &tensors));
    /* One that is not needed is not looked at. */
    anynorm_spec alone = parsed("layer-norm 5x6 dx", &rows), alone_resolved = resolved(alone);
    anynorm_buffer workspace = tensors.workspace;
    tensors = apart(&alone_resolved, AN_BUFFER_CL_MEM);
    tensors.workspace = workspace;
    assert_ok(check(&alone, &tensors));
    /* However many rows there are, there is no more than so much of it. */
    static const uint64_t columns[] = {1, 8, 100, 768, 4096, 65536, 1000000};
    for (size_t i = 0; i < COUNT(columns); i++) {
        complete.columns = columns[i];
        for (uint64_t n = 1; n < UINT64_C(1) << 40; n = n * 3 + 1) {
            uint64_t bytes, most = 4 * 2 * ((UINT64_C(1) << 20) * 2 + 64 * (columns[i] + 16) * 2);
            assert_true(an_gradient_workspace(&complete, n, &bytes));
            assert_true(bytes <= 4 * most * (columns[i] < 16 ? 16 / columns[i] : 1));
        }
    }
}

static void test_side_by_side(void **state)
{
    (void)state;
    uint64_t rows;
    anynorm_spec dx = parsed("layer-norm 6x4 inner=6 dx-column=6 dx", &rows);
    anynorm_spec dresidual =
        parsed("layer-norm 6x4 residual gate inner=6 dresidual-column=6 dresidual", &rows);
    anynorm_spec none = parsed("layer-norm 6x4 residual gate inner=6 dx dresidual", &rows);
    dx = resolved(dx), dresidual = resolved(dresidual), none = resolved(none);
    assert_false(an_spec_side_by_side(&dx));
    assert_false(an_spec_side_by_side(&dresidual));
    assert_true(an_spec_side_by_side(&none));
    assert_true(an_spec_in_runs(&dx));
    assert_false(an_spec_in_runs(&none));
    none.column_run = 3;
    assert_true(an_spec_in_runs(&none));
}

/* ---- Parts ---- */

/* Each row is in one part, whose rows share a class and a span, and whole samples where it says so.
 */
static void check_parts(const anynorm_spec *spec, uint64_t rows)
{
    const struct an_parts p = an_gradient_parts(spec, rows);
    unsigned char *seen = calloc((size_t)rows, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < p.count; i++) {
        uint64_t begin = i / (p.classes * p.parts_of_class) * p.span, end = begin + p.span;
        uint64_t class = i / p.parts_of_class % p.classes;
        uint64_t row = begin + (class + p.classes - begin % p.classes) % p.classes +
                       i % p.parts_of_class * p.rows * p.classes;
        for (uint64_t k = 0; k < p.rows && row < end && row < rows; k++, row += p.classes) {
            assert_int_equal(seen[row]++, 0);
            assert_int_equal(row % p.classes, class);
        }
    }
    for (uint64_t r = 0; r < rows; r++)
        assert_int_equal(seen[r], 1);
    if (spec->gradients.flags & AN_PARAMETER_SUMS)
        assert_int_equal(p.classes % spec->parameters.rows, 0);
    if (p.sample_rows)
        assert_true(p.sample_rows == spec->sample_rows || p.sample_rows == rows);
    if (p.sample_rows)
        assert_int_equal(p.rows % p.sample_rows, 0);
    if ((spec->gradients.flags & AN_SAMPLE_SUMS) && !p.sample_rows)
        assert_true(p.span == spec->sample_rows || p.span == rows);
    free(seen);
}

/* What stretches between divisions leave: ranges that do not meet, within the workspace, and which
 * are all its parts together. */
static void check_left(const anynorm_spec *spec, bool reference, uint64_t rows)
{
    uint64_t bytes, ranges = 0;
    assert_true(an_gradient_workspace(spec, rows, &bytes));
    const struct an_stretch all = an_stretch_whole(rows);
    const struct an_left of_all = an_gradient_left(spec, reference, &all, 0);
    if (of_all.count == 0)
        return;
    unsigned char *seen = calloc((size_t)bytes / 4, 1);
    assert_non_null(seen);
    for (uint64_t end = rows, first; end > 0; end = first) {
        first = an_gradient_division(spec, reference, rows, end - end / 5 - 1);
        struct an_stretch stretch = {first, end - first, rows};
        for (uint64_t i = 0; i < of_all.count; i++) {
            const struct an_left left = an_gradient_left(spec, reference, &stretch, i);
            assert_int_equal(left.count, of_all.count);
            assert_true(left.bytes > 0 && left.offset + left.bytes <= bytes);
            for (uint64_t k = left.offset / 4; k < (left.offset + left.bytes) / 4; k++)
                assert_int_equal(seen[k]++, 0);
            ranges += left.bytes;
        }
    }
    assert_int_equal(ranges, of_all.bytes * of_all.count);
    struct an_stretch none = {rows, 0, rows};
    assert_int_equal(an_gradient_left(spec, reference, &none, 0).bytes, 0);
    free(seen);
}

static void test_parts(void **state)
{
    (void)state;
    static const char *const words[] = {
        "weight backward",
        "scale sample-rows=1 backward",
        "weight scale sample-rows=7 backward",
        "shift sample-rows=1000 backward",
        "weight parameter-rows=5 backward",
        "weight scale parameter-rows=3 sample-rows=4 backward",
        "dx",
    };
    static const uint64_t columns[] = {1, 200, 5000, 100000};
    for (size_t i = 0; i < COUNT(words) * COUNT(columns); i++) {
        char text[128];
        uint64_t rows;
        snprintf(text, sizeof(text), "layer-norm 1x%d %s", (int)columns[i % COUNT(columns)],
                 words[i / COUNT(columns)]);
        anynorm_spec spec = resolved(parsed(text, &rows));
        for (rows = 1; rows < 30000; rows += 1 + rows / 3)
            check_parts(&spec, rows);
        for (rows = 1; rows < 3000 && spec.columns < 1000; rows += 1 + rows / 2) {
            check_left(&spec, false, rows);
            check_left(&spec, true, rows);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_program_lists_the_same),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_workspace),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("gradient_spec", tests, NULL, NULL);
}
