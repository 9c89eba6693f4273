#include "explain.h"

#include "files/tensor_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ci/demo's samples. */
static const float matrix[4 * 6] = {
    2.47F, -2.92F, 1.04F, 4.77F,  11.41F, 7.69F,  10.4F,  10.66F, 18.18F, 21.06F, 17.98F, 19.56F,
    24.7F, 20.35F, 27.0F, 24.64F, 32.17F, 33.55F, 32.67F, 31.92F, 34.4F,  42.46F, 42.22F, 41.09F,
};

/* Two images of 4 channels: the second is the first one's lights, brighter and flatter. */
static const float images[2 * 4 * 2 * 3] = {
    0.1F, 0.5F,  0.9F, 0.2F,  0.6F,  1.0F,  -1.0F, 0.0F, 1.0F, 1.0F, 0.0F, -1.0F,
    3.0F, 3.5F,  4.0F, 4.5F,  5.0F,  5.5F,  -2.0F, 2.0F, 0.5F, 1.5F, 1.0F, -0.5F,
    2.2F, 2.4F,  2.6F, 2.25F, 2.45F, 2.65F, 0.5F,  1.0F, 1.5F, 1.5F, 1.0F, 0.5F,
    6.0F, 6.25F, 6.5F, 6.75F, 7.0F,  7.25F, 0.0F,  2.0F, 1.2F, 1.8F, 1.6F, 0.8F,
};

static bool read_input(const char *path, struct explain_set *set)
{
    struct tensor_file file = {0};
    bool done = tensor_open(path, false, &file);

    if (done && file.layout.rank != 2 && file.layout.rank != 4)
        done = cli_fail(CLI_USAGE, path,
                        "has %" PRIu32 " axes; give (samples, features), or images as (samples, "
                        "channels, height, width)",
                        file.layout.rank);
    if (done && (file.layout.elements == 0 || file.layout.elements > EXPLAIN_MOST))
        done = cli_fail(CLI_USAGE, path,
                        "has %" PRIu64 " elements; a page shows 1 to %d, so give a part of it",
                        file.layout.elements, EXPLAIN_MOST);
    if (done) {
        const uint64_t *shape = file.layout.shape;
        bool of_images = file.layout.rank == 4;

        set->name = of_images ? "images" : "matrix";
        set->samples = shape[0];
        set->channels = shape[1];
        set->height = of_images ? shape[2] : 1;
        set->width = of_images ? shape[3] : 1;
        tensor_read_as(&file, ANYNORM_F32, 0, file.layout.elements, set->x);
    }
    tensor_close(&file);
    return done;
}

int cli_explain(int argc, char **argv)
{
    struct explain_set sets[] = {
        {.name = "matrix", .samples = 4, .channels = 6, .height = 1, .width = 1},
        {.name = "images", .samples = 2, .channels = 4, .height = 2, .width = 3},
    };
    const char *input = NULL, *path = "anynorm.html", *name = NULL;
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "FILE", "write the page to FILE (default anynorm.html)",
         .text = &path},
        {"device", 0, CLI_TEXT, "NAME",
         "opencl, opencl:0, opencl:TEXT, reference (default: $ANYNORM_DEVICE or best)",
         .text = &name},
    };
    const struct cli_command command = {
        .name = "explain",
        .summary = "Writes a page that explains the norms by numbers that a device found.",
        .notes =
            "INPUT is a npy file, or FILE.safetensors:NAME, to begin with in place of the "
            "built-in\n"
            "numbers: (samples, features), or (samples, channels, height, width), 1024 elements\n"
            "at most. The page is one file, which needs no network: open it in a browser. It "
            "shows\n"
            "layer, RMS, batch, instance and group normalization of a small matrix or of small\n"
            "images, what their statistics are taken over, each step and the gradient; cells\n"
            "can be edited. It checks its own arithmetic against the device's.\n",
        .operand_name = "INPUT",
        .operand = &input,
        .operand_optional = true,
        .options = options,
        .option_count = COUNT(options),
    };
    anynorm_device *device = NULL;
    struct output output = {0};
    int exit_status;

    memcpy(sets[0].x, matrix, sizeof matrix);
    memcpy(sets[1].x, images, sizeof images);
    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    struct explain_set given = {0};
    bool done = !input || read_input(input, &given);
    if (done && input)
        sets[strcmp(given.name, "images") == 0] = given;
    done = done && output_prepare(&output, path) && cli_open_device(name, &device) &&
           explain_page_write(&output, device, sets, COUNT(sets));
    exit_status = done ? CLI_DONE : cli_error_print();
    output_discard(&output);
    anynorm_device_close(device);
    return exit_status;
}
