#include "layer_norm.h"

#include "commands.h"
#include "library.h"
#include "npy.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool open_input(struct layer_norm *work, const struct layer_norm_options *options,
                       struct cli_error *error)
{
    bool bf16 = options->dtype_given && options->dtype == ANYNORM_BF16;
    const struct tensor_layout *layout = &work->x.layout;
    int64_t rank;
    int64_t axis = options->axis;
    char text[SHAPE_TEXT];

    if (!tensor_open(options->input, bf16, &work->x, error))
        return false;
    if (options->dtype_given && options->dtype != work->x.type)
        return cli_fail(error, CLI_USAGE, work->x.path,
                        "its dtype is %s and --dtype says %s; give a file of that type, or leave "
                        "--dtype out",
                        layout->type, anynorm_dtype_name(options->dtype));
    rank = (int64_t)layout->rank;
    if (rank == 0)
        return cli_fail(error, CLI_USAGE, work->x.path,
                        "holds a single number without an axis; give an array of 1 to %d axes",
                        ANYNORM_MAX_RANK);
    if (axis < -rank || axis >= rank)
        return cli_fail(
            error, CLI_USAGE, "--axis",
            "%" PRId64 " is no axis of %.200s, of shape %s; give %" PRId64 " to %" PRId64, axis,
            work->x.path, shape_text(layout->rank, layout->shape, text), -rank, rank - 1);
    work->axis = (uint32_t)(axis < 0 ? axis + rank : axis);
    return true;
}

static bool split_shape(struct layer_norm *work, struct cli_error *error)
{
    const struct tensor_layout *layout = &work->x.layout;
    char text[SHAPE_TEXT];

    /* No overflow: the header was checked with its zeros left out, but a zero makes these zero. */
    work->rows = 1;
    work->columns = 1;
    for (uint32_t i = 0; i < layout->rank; i++)
        *(i < work->axis ? &work->rows : &work->columns) *= layout->shape[i];
    if (work->columns == 0 || work->columns > INT32_MAX)
        return cli_fail(error, CLI_USAGE, work->x.path,
                        "its shape %s has %" PRIu64 " elements to normalize over from axis %" PRIu32
                        " on; there must be 1 to %" PRId32,
                        shape_text(layout->rank, layout->shape, text), work->columns, work->axis,
                        INT32_MAX);
    return true;
}

static bool prepare_outputs(struct layer_norm *work, const struct layer_norm_options *options,
                            struct cli_error *error)
{
    const char *paths[OUTPUTS] = {options->output, options->mean_output, options->rstd_output};
    static const char *const names[OUTPUTS] = {"-o", "--mean-output", "--rstd-output"};

    for (int i = 0; i < OUTPUTS; i++) {
        if (paths[i] && !output_prepare(&work->outputs[i], paths[i], error))
            return false;
        for (int k = 0; k < i; k++) {
            if (output_same(&work->outputs[k], &work->outputs[i]))
                return cli_fail(error, CLI_USAGE, paths[i],
                                "is named by both %s and %s; name two files", names[k], names[i]);
        }
    }
    return true;
}

static bool make_plan(struct layer_norm *work, const struct layer_norm_options *options,
                      struct cli_error *error)
{
    anynorm_spec spec = {
        .columns = work->columns,
        .x_type = work->x.type,
        .y_type = work->x.type,
        .parameter_type = work->parameters.type,
        .eps = options->eps,
    };
    anynorm_device_info info;
    anynorm_status status;

    spec.flags |= work->parameters.weight ? ANYNORM_WEIGHT : 0;
    spec.flags |= work->parameters.bias ? ANYNORM_BIAS : 0;
    spec.flags |= work->want_stats || options->mean_output ? ANYNORM_MEAN_OUTPUT : 0;
    spec.flags |= work->want_stats || options->rstd_output ? ANYNORM_RSTD_OUTPUT : 0;
    if (!cli_open_device(options->device, &work->device, error))
        return false;
    status = anynorm_plan_create(work->device, &spec, NULL, &work->plan);
    if (status == ANYNORM_OK)
        return true;
    return cli_fail_library(
        error, anynorm_device_describe(work->device, &info) == ANYNORM_OK ? info.id : "device",
        status);
}

static bool create_outputs(struct layer_norm *work, struct cli_error *error)
{
    anynorm_dtype types[OUTPUTS] = {work->x.type, ANYNORM_F32, ANYNORM_F32};
    uint32_t ranks[OUTPUTS] = {work->x.layout.rank, work->axis, work->axis};
    uint8_t head[NPY_HEAD_MAX];

    for (int i = 0; i < OUTPUTS; i++) {
        struct output *output = &work->outputs[i];

        if (output->path &&
            (!output_create(output, error) ||
             !output_write(output, head, npy_head(types[i], ranks[i], work->x.layout.shape, head),
                           error)))
            return false;
    }
    return true;
}

static void print_timing(const struct layer_norm *work, double total)
{
    double bytes = 2.0 * (double)work->x.layout.elements * work->x.layout.item_size;
    anynorm_device_info device;
    anynorm_plan_info plan;

    if (anynorm_device_describe(work->device, &device) != ANYNORM_OK ||
        anynorm_plan_describe(work->plan, &plan) != ANYNORM_OK)
        return;
    fprintf(stderr, "device     %s %s\n", device.id, device.name);
    fprintf(stderr, "schedule   %s\n", plan.schedule);
    fprintf(stderr, "shape      %" PRIu64 " rows x %" PRIu64 " columns, %s\n", work->rows,
            work->columns, anynorm_dtype_name(work->x.type));
    fprintf(stderr,
            "normalize  %.3f ms, %.2f GB/s of x and y; from and to host memory, copies to "
            "the device included, files not, warmed up\n",
            work->seconds * 1e3, work->seconds > 0.0 ? bytes / work->seconds * 1e-9 : 0.0);
    fprintf(stderr, "total      %.3f ms, with reading, compiling and writing\n", total * 1e3);
}

/* The results on stdout first, so that an output file appears only if all went well. */
static bool publish(struct layer_norm *work, struct cli_error *error)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (work->outputs[i].path && !output_close(&work->outputs[i], error))
            return false;
    }
    if (work->want_preview)
        preview_print(&work->preview);
    if (work->want_stats) {
        if (work->want_preview)
            putchar('\n');
        row_table_print(&work->table);
    }
    if (!cli_flush_stdout(error))
        return false;
    for (int i = 0; i < OUTPUTS; i++) {
        if (work->outputs[i].path && !output_commit(&work->outputs[i], error))
            return false;
    }
    return true;
}

static int layer_norm(const struct layer_norm_options *options)
{
    double started = clock_seconds();
    struct cli_error error;
    struct layer_norm work = {
        .want_stats = options->stats,
        .want_preview = !options->output,
        .timing = options->timing,
    };
    int exit_status = CLI_DONE;
    bool done =
        open_input(&work, options, &error) && split_shape(&work, &error) &&
        parameters_read(options->weight, options->bias, &work.x, work.axis, work.columns,
                        work.x.type == ANYNORM_BF16, &work.parameters, &error) &&
        prepare_outputs(&work, options, &error) &&
        (!work.want_stats || row_table_init(&work.table, work.rows, work.columns, &error)) &&
        (!work.want_preview || preview_init(&work.preview, work.rows, work.columns, &error)) &&
        make_plan(&work, options, &error) && create_outputs(&work, &error) &&
        layer_norm_blocks(&work, (uint64_t)options->block_bytes, &error) && publish(&work, &error);

    if (done && options->timing)
        print_timing(&work, clock_seconds() - started);
    if (!done)
        exit_status = cli_error_print(&error);
    for (int i = 0; i < OUTPUTS; i++)
        output_discard(&work.outputs[i]);
    anynorm_plan_destroy(work.plan);
    anynorm_device_close(work.device);
    row_table_free(&work.table);
    preview_free(&work.preview);
    parameters_free(&work.parameters);
    tensor_close(&work.x);
    return exit_status;
}

int cli_layer_norm(int argc, char **argv)
{
    struct layer_norm_options options;
    int exit_status;

    return layer_norm_options(argc, argv, &options, &exit_status) ? layer_norm(&options)
                                                                  : exit_status;
}
