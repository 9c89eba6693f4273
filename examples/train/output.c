#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fail(const struct output *output)
{
    fprintf(stderr, "train: cannot write %s: %s\n", output->path, strerror(errno));
    exit(EXIT_FAILURE);
}

void output_open(struct output *output, const char *folder, const char *name)
{
    int length = snprintf(output->path, sizeof(output->path), "%s/%s", folder, name);
    errno = ENAMETOOLONG;
    output->file = length < (int)sizeof(output->path) ? fopen(output->path, "w") : NULL;
    if (!output->file)
        fail(output);
}

void output_close(struct output *output)
{
    int bad = ferror(output->file);
    if (fclose(output->file) != 0 || bad)
        fail(output);
}
