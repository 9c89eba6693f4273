/* Trains a small transformer whose dense layers are CLBlast's, whose norms and their gradients are
 * anynorm's, and whose rest is kernels.cl, on one queue and in one memory; with the norms in
 * different places, to see what their place does. docs/training.md shows what came out. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "page.h"
#include "study.h"
#include "tables.h"

int main(int argc, char **argv)
{
    static struct study study; /* larger than some stacks */
    struct options options;
    struct machine machine;
    int bad = 0;
    options_read(&options, argc, argv);
    machine_open(&machine);
    if (options.check) {
        bad = check_gradients(&machine);
    } else {
        study_run(&study, &machine, &options);
        tables_write(&study);
        page_write(&study);
        study_free(&study);
    }
    machine_close(&machine);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
