#include "norm.h"

#include "common/commands.h"
#include "common/library.h"
#include "common/progress.h"

#include <inttypes.h>
#include <stdio.h>

static bool fail_dtype(const struct norm *work, const struct norm_options *options,
                       struct cli_error *error)
{
    return cli_fail(error, CLI_USAGE, work->x.path,
                    "its dtype is %s and --dtype says %s; give a file of that type, or leave "
                    "--dtype out",
                    work->x.layout.type, anynorm_dtype_name(options->dtype));
}

static bool open_input(struct norm *work, const struct norm_options *options,
                       struct cli_error *error)
{
    bool bf16 = options->dtype_given && options->dtype == ANYNORM_BF16;

    if (!tensor_open(options->input, bf16, &work->x, error))
        return false;
    return bf16 || !options->dtype_given || options->dtype == work->x.type ||
           fail_dtype(work, options, error);
}

/* --dtype bf16 is of all files; it may not be there for none of them. */
static bool check_bf16(const struct norm *work, const struct norm_options *options,
                       struct cli_error *error)
{
    bool found = work->x.type == ANYNORM_BF16;

    if (!options->dtype_given || options->dtype != ANYNORM_BF16)
        return true;
    for (int i = 0; i < INPUTS; i++) {
        const struct tensor_file *file = &work->inputs.all[i].file;

        found = found || (file->path && file->type == ANYNORM_BF16);
    }
    return found || fail_dtype(work, options, error);
}

static bool prepare_prints(struct norm *work, struct cli_error *error)
{
    return (!work->want_stats ||
            row_table_init(&work->table, work->shape.rows, &work->spec, error)) &&
           (!work->want_preview ||
            preview_init(&work->preview, work->shape.rows * work->shape.columns / work->shape.line,
                         work->shape.line, error));
}

static bool make_plan(struct norm *work, const struct norm_options *options,
                      struct cli_error *error)
{
    anynorm_device_info info;
    anynorm_status status;

    if (!cli_open_device(options->device, &work->device, error))
        return false;
    status = anynorm_plan_create(work->device, &work->spec, NULL, &work->plan);
    if (status == ANYNORM_OK)
        return true;
    return cli_fail_library(
        error, anynorm_device_describe(work->device, &info) == ANYNORM_OK ? info.id : "device",
        status);
}

static void print_timing(const struct norm *work, double total)
{
    const anynorm_spec *spec = &work->spec;
    size_t sizes = anynorm_dtype_size(spec->x.type) + anynorm_dtype_size(spec->y.type) +
                   (spec->flags & ANYNORM_RESIDUAL ? anynorm_dtype_size(spec->residual.type) : 0) +
                   (spec->flags & ANYNORM_SUM_OUTPUT ? anynorm_dtype_size(spec->sum.type) : 0);
    double bytes = (double)work->x.layout.elements * (double)sizes;
    anynorm_device_info device;
    anynorm_plan_info plan;

    if (anynorm_device_describe(work->device, &device) != ANYNORM_OK ||
        anynorm_plan_describe(work->plan, &plan) != ANYNORM_OK)
        return;
    fprintf(stderr, "device     %s %s\n", device.id, device.name);
    fprintf(stderr, "schedule   %s\n", plan.schedule);
    fprintf(stderr, "shape      %" PRIu64 " rows x %" PRIu64 " columns, %s\n", work->shape.rows,
            work->shape.columns, anynorm_dtype_name(work->x.type));
    fprintf(stderr,
            "normalize  %.3f ms, %.2f GB/s of the rows read and written; from and to host memory, "
            "copies to "
            "the device included, files not, warmed up\n",
            work->seconds * 1e3, work->seconds > 0.0 ? bytes / work->seconds * 1e-9 : 0.0);
    fprintf(stderr, "total      %.3f ms, with reading, compiling and writing\n", total * 1e3);
}

/* The results on stdout first, so that an output file appears only if all went well. */
static bool publish(struct norm *work, struct cli_error *error)
{
    if (!norm_outputs_close(&work->outputs, error))
        return false;
    if (work->want_preview)
        preview_print(&work->preview);
    if (work->want_stats) {
        if (work->want_preview)
            putchar('\n');
        row_table_print(&work->table);
    }
    return cli_flush_stdout(error) && norm_outputs_commit(&work->outputs, error);
}

static int normalize(const struct norm_options *options)
{
    double started = clock_seconds();
    struct cli_error error;
    struct norm work = {
        .want_stats = options->stats,
        .want_preview = !options->output,
        .timing = options->timing,
    };
    int exit_status = CLI_DONE;
    bool done = open_input(&work, options, &error) &&
                norm_shape_find(options, &work.x, &work.shape, &error) &&
                norm_inputs_read(options, &work.x, &work.shape, &work.inputs, &error) &&
                check_bf16(&work, options, &error);

    if (done) {
        work.spec = norm_spec(options, &work);
        work.y_scale = (float)options->quantize_scale;
        done = norm_outputs_prepare(&work.outputs, options, &error) &&
               prepare_prints(&work, &error) && make_plan(&work, options, &error) &&
               norm_outputs_create(&work.outputs, &work.spec, &work.x, &work.shape, &error) &&
               norm_blocks(&work, options->block_bytes, &error) && publish(&work, &error);
    }
    if (done && options->timing)
        print_timing(&work, clock_seconds() - started);
    if (!done)
        exit_status = cli_error_print(&error);
    norm_outputs_discard(&work.outputs);
    anynorm_plan_destroy(work.plan);
    anynorm_device_close(work.device);
    row_table_free(&work.table);
    preview_free(&work.preview);
    norm_inputs_free(&work.inputs);
    tensor_close(&work.x);
    return exit_status;
}

int cli_norm(int argc, char **argv)
{
    struct norm_options options;
    int exit_status;

    return norm_options_parse(argc, argv, &options, &exit_status) ? normalize(&options)
                                                                  : exit_status;
}
