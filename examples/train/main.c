/* Trains a small transformer whose dense layers are CLBlast's, whose norms and their gradients are
 * anynorm's, and whose rest is kernels.cl, on one queue and in one memory; with the norms in
 * different places, to see what their place does. docs/training.md shows what came out. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "output.h"
#include "page.h"
#include "study.h"
#include "tables.h"

/* The files are opened first: a folder that cannot be written to is no news for after training. */
static void compare(struct machine *machine, const struct options *options)
{
    static struct study study; /* larger than some stacks */
    struct output curves, gradients, page;
    output_open(&curves, options->folder, "curves.csv");
    output_open(&gradients, options->folder, "gradients.csv");
    output_open(&page, options->folder, "train.html");
    study_run(&study, machine, options);
    tables_write_curves(curves.file, &study);
    tables_write_gradients(gradients.file, &study);
    page_write(page.file, &study);
    output_close(&curves);
    output_close(&gradients);
    output_close(&page);
    study_free(&study);
}

int main(int argc, char **argv)
{
    struct options options;
    struct machine machine;
    int bad = 0;
    options_read(&options, argc, argv);
    machine_open(&machine);
    if (options.check)
        bad = check_gradients(&machine);
    else
        compare(&machine, &options);
    machine_close(&machine);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
