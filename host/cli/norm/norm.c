#include "norm.h"

#include "common/cli.h"
#include "platform/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool fail_dtype(struct norm *work)
{
    return cli_fail(CLI_USAGE, work->x.path,
                    "its dtype is %s and --dtype says %s; give a file of that type, or leave "
                    "--dtype out",
                    work->x.layout.type, anynorm_dtype_name(work->options.dtype));
}

static bool open_input(struct norm *work)
{
    const struct norm_options *o = &work->options;
    bool bf16 = o->dtype_given && o->dtype == ANYNORM_BF16;

    return tensor_open(o->x, bf16, &work->x) &&
           (bf16 || !o->dtype_given || o->dtype == work->x.type || fail_dtype(work));
}

/* --dtype bf16 is of all files; it may not be there for none of them. */
static bool check_bf16(struct norm *work)
{
    bool found = work->x.type == ANYNORM_BF16;

    if (!work->options.dtype_given || work->options.dtype != ANYNORM_BF16)
        return true;
    for (int i = 0; i < INPUTS; i++) {
        const struct tensor_file *file = &work->inputs[i].file;

        found = found || (file->path && file->type == ANYNORM_BF16);
    }
    return found || fail_dtype(work);
}

bool norm_plan_make(struct norm *work)
{
    anynorm_device_info info;
    anynorm_status status;

    if (!cli_open_device(work->options.device, &work->device))
        return false;
    status = anynorm_plan_create(work->device, &work->spec, NULL, &work->plan);
    if (status == ANYNORM_OK)
        status = norm_running_plan(work);
    if (status == ANYNORM_OK)
        return true;
    return cli_fail_library(
        anynorm_device_describe(work->device, &info) == ANYNORM_OK ? info.id : "device", status);
}

size_t norm_element_bytes(const struct norm *work)
{
    size_t bytes = anynorm_dtype_size(work->x.type);

    for (int i = 0; i < INPUTS; i++) {
        if (work->options.inputs[i] && norm_input_is_as_x((enum norm_input_name)i))
            bytes += anynorm_dtype_size(work->inputs[i].type);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        enum norm_output_name name = (enum norm_output_name)i;

        if (norm_output_is_as_x(name) && norm_output_count(work, name, 1) > 0)
            bytes += anynorm_dtype_size(norm_output_type(work, name));
    }
    return bytes;
}

static void print_timing(const struct norm *work, double total)
{
    double bytes = (double)work->x.layout.elements * (double)norm_element_bytes(work);
    anynorm_device_info device;
    anynorm_plan_info plan;

    if (anynorm_device_describe(work->device, &device) != ANYNORM_OK ||
        anynorm_plan_describe(work->plan, &plan) != ANYNORM_OK)
        return;
    fprintf(stderr, "device     %s %s\n", device.id, device.name);
    fprintf(stderr, "schedule   %s\n", plan.schedule);
    fprintf(stderr, "shape      %" PRIu64 " rows x %" PRIu64 " columns, %s\n", work->shape.rows,
            work->spec.columns, anynorm_dtype_name(work->x.type));
    fprintf(stderr,
            "normalize  %.3f ms, %.2f GB/s of the rows read and written; from and to host memory, "
            "copies to "
            "the device included, files not, warmed up\n",
            work->seconds * 1e3, work->seconds > 0.0 ? bytes / work->seconds * 1e-9 : 0.0);
    fprintf(stderr, "total      %.3f ms, with reading, compiling and writing\n", total * 1e3);
}

/* The results on stdout first, so that an output file appears only if all went well. */
static bool publish(struct norm *work)
{
    if (!norm_outputs_close(work))
        return false;
    norm_print(work);
    return cli_flush_stdout() && norm_outputs_commit(work);
}

bool norm_find(struct norm *work)
{
    if (!open_input(work) || !norm_shape_find(work) || !norm_inputs_read(work) ||
        !check_bf16(work) || !norm_running_use(work))
        return false;
    norm_spec_find(work);
    return true;
}

void norm_free(struct norm *work)
{
    for (int i = 0; i < OUTPUTS; i++)
        output_discard(&work->outputs[i]);
    anynorm_plan_destroy(work->plan);
    anynorm_plan_destroy(work->batch);
    anynorm_device_close(work->device);
    free(work->stats.values);
    free(work->preview.values);
    for (int i = 0; i < INPUTS; i++) {
        free(work->inputs[i].data);
        tensor_close(&work->inputs[i].file);
    }
    tensor_close(&work->x);
}

int cli_norm(int argc, char **argv)
{
    double started = an_clock_seconds();
    struct norm work = {.seconds = 0};
    int exit_status;

    if (!norm_options_parse(false, argc, argv, &work.options, &exit_status))
        return exit_status;
    if (norm_find(&work) && norm_outputs_prepare(&work) && norm_print_init(&work) &&
        norm_plan_make(&work) && norm_outputs_create(&work) && norm_blocks(&work) &&
        publish(&work)) {
        exit_status = CLI_DONE;
        if (work.options.timing)
            print_timing(&work, an_clock_seconds() - started);
    } else {
        exit_status = cli_error_print();
    }
    norm_free(&work);
    return exit_status;
}
